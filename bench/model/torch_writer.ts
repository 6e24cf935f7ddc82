// Lays out a state dict as torch.save does: a zip of stored entries, `data.pkl` in pickle protocol
// 2 and one entry for each storage, data at multiples of 64 bytes, sizes behind the data, ZIP64
// beyond 4 GiB. It computes the layout only; the content is written by make_checkpoint.ts. A single
// storage must be smaller than 4 GiB.
// Deterministic: no dates, no random ids. Reference: PyTorch, torch/serialization.py and
// caffe2/serialize/inline_container.cc; PKWARE APPNOTE 4.3.

/** A dense tensor; those of one `storage` share it. */
export interface TorchEntry {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: 'F32' | 'BOOL';
  readonly storage: string;
}

/**
 * A part of the file: bytes, the content of a storage, or bytes that depend on the storages' CRCs,
 * which are known only after these were written.
 */
export type Segment =
  | { readonly bytes: Uint8Array }
  | { readonly storage: string; readonly size: number }
  | { readonly withCrcs: (crcs: ReadonlyMap<string, number>) => Uint8Array; readonly size: number };

const ROOT = 'pytorch_model';
const ALIGN = 64;
const MAX32 = 0xffffffff;
const ascii = new TextEncoder();

/**
 * The file as segments in order; `size` is all of them together. `crc32` is of whole byte arrays.
 */
export function torchLayout(
  entries: readonly TorchEntry[],
  crc32: (bytes: Uint8Array) => number,
): { segments: Segment[]; size: number } {
  const keys = new Map<string, { key: string; count: number; dtype: TorchEntry['dtype'] }>();
  for (const { storage, shape, dtype } of entries) {
    if (!keys.has(storage)) keys.set(storage, { key: `${keys.size}`, count: shape.reduce((a, b) => a * b, 1), dtype });
  }
  const segments: Segment[] = [];
  let at = 0;
  const push = (segment: Segment): void => {
    segments.push(segment);
    at += 'bytes' in segment ? segment.bytes.length : segment.size;
  };
  // a CRC, or the storage that it is of
  const placed: { name: Uint8Array; offset: number; size: number; crc: number | string }[] = [];
  const entry = (path: string, content: Uint8Array | { storage: string; size: number }): void => {
    const name = ascii.encode(`${ROOT}/${path}`);
    const size = 'storage' in content ? content.size : content.length;
    const crc = 'storage' in content ? content.storage : crc32(content);
    placed.push({ name, offset: at, size, crc });
    push({ bytes: localHeader(name, at) });
    push('storage' in content ? content : { bytes: content });
    push({ size: 16, withCrcs: (crcs) => descriptor(typeof crc === 'string' ? crcs.get(crc)! : crc, size) });
  };

  entry('data.pkl', pickle(entries, keys));
  for (const [storage, { key, count, dtype }] of keys)
    entry(`data/${key}`, { storage, size: count * (dtype === 'F32' ? 4 : 1) });
  entry('version', ascii.encode('3\n'));

  const directoryAt = at;
  const central = (crcs: ReadonlyMap<string, number>): Uint8Array =>
    concat(
      placed.map(({ name, offset, size, crc }) =>
        centralHeader(name, offset, size, typeof crc === 'string' ? (crcs.get(crc) ?? 0) : crc),
      ),
    );
  const directorySize = central(new Map()).length;
  push({ size: directorySize, withCrcs: central });
  push({ bytes: endOfDirectory(placed.length, directoryAt, directorySize) });
  return { segments, size: at };
}

// ----------------------------------------------------------------------------- zip

/** Bytes of little-endian numbers, given as [bytes, value]. */
function fields(...parts: readonly (readonly [width: 1 | 2 | 4 | 8, value: number])[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(parts.reduce((sum, [width]) => sum + width, 0)));
  let at = 0;
  for (const [width, value] of parts) {
    if (width === 1) view.setUint8(at, value);
    else if (width === 2) view.setUint16(at, value, true);
    else if (width === 4) view.setUint32(at, value, true);
    else view.setBigUint64(at, BigInt(value), true);
    at += width;
  }
  return new Uint8Array(view.buffer);
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

const SIZES_BEHIND = 0x0808; // sizes and CRC stand behind the data; names are UTF-8

/**
 * The header at `offset`, padded by an extra field 'FB' so that the data start at a multiple of 64.
 */
function localHeader(name: Uint8Array, offset: number): Uint8Array {
  const bare = offset + 30 + name.length + 4;
  const padding = (ALIGN - (bare % ALIGN)) % ALIGN;
  return concat([
    fields(
      [4, 0x04034b50],
      [2, 45],
      [2, SIZES_BEHIND],
      [2, 0],
      [4, 0],
      [4, 0],
      [4, 0],
      [4, 0],
      [2, name.length],
      [2, 4 + padding],
    ),
    name,
    fields([2, 0x4246], [2, padding]),
    ascii.encode('Z'.repeat(padding)),
  ]);
}

const descriptor = (crc: number, size: number): Uint8Array => fields([4, 0x08074b50], [4, crc], [4, size], [4, size]);

function centralHeader(name: Uint8Array, offset: number, size: number, crc: number): Uint8Array {
  const extra = offset >= MAX32 ? fields([2, 1], [2, 8], [8, offset]) : new Uint8Array(0);
  return concat([
    fields(
      [4, 0x02014b50],
      [2, 45],
      [2, 45],
      [2, SIZES_BEHIND],
      [2, 0],
      [4, 0],
      [4, crc],
      [4, size],
      [4, size],
      [2, name.length],
      [2, extra.length],
      [2, 0],
      [2, 0],
      [2, 0],
      [4, 0],
      [4, Math.min(offset, MAX32)],
    ),
    name,
    extra,
  ]);
}

function endOfDirectory(count: number, offset: number, size: number): Uint8Array {
  const end64 = fields(
    [4, 0x06064b50],
    [8, 44],
    [2, 45],
    [2, 45],
    [4, 0],
    [4, 0],
    [8, count],
    [8, count],
    [8, size],
    [8, offset],
  );
  const locator = fields([4, 0x07064b50], [4, 0], [8, offset + size], [4, 1]);
  const end = fields(
    [4, 0x06054b50],
    [2, 0],
    [2, 0],
    [2, count],
    [2, count],
    [4, size],
    [4, Math.min(offset, MAX32)],
    [2, 0],
  );
  return concat(offset >= MAX32 ? [end64, locator, end] : [end]);
}

// ----------------------------------------------------------------------------- pickle

/**
 * OrderedDict of name → torch._utils._rebuild_tensor_v2((storage, class, key, 'cpu', count), 0,
 * shape, stride, False, OrderedDict()), and its `_metadata`.
 */
function pickle(
  entries: readonly TorchEntry[],
  keys: ReadonlyMap<string, { key: string; count: number; dtype: TorchEntry['dtype'] }>,
): Uint8Array {
  const out: Uint8Array[] = [];
  const op = (text: string): void => void out.push(Uint8Array.from(text, (c) => c.charCodeAt(0)));
  const memo = new Map<string, number>();
  /** Writes a value the first time, afterwards a reference to it in the pickle's memo. */
  const memoized = (what: string, write: () => void): void => {
    const known = memo.get(what);
    if (known !== undefined)
      // BINGET, LONG_BINGET
      return void out.push(known < 256 ? fields([1, 0x68], [1, known]) : fields([1, 0x6a], [4, known]));
    write();
    const index = memo.size;
    memo.set(what, index);
    out.push(index < 256 ? fields([1, 0x71], [1, index]) : fields([1, 0x72], [4, index])); // BINPUT, LONG_BINPUT
  };
  const global = (module: string, name: string): void =>
    memoized(`${module}.${name}`, () => op(`c${module}\n${name}\n`));
  const text = (value: string): void => {
    const bytes = ascii.encode(value);
    out.push(fields([1, 0x58], [4, bytes.length]), bytes); // BINUNICODE
  };
  const int = (value: number): void =>
    void out.push(
      value < 256
        ? fields([1, 0x4b], [1, value])
        : value < 65536
          ? fields([1, 0x4d], [2, value])
          : fields([1, 0x4a], [4, value]),
    ); // BININT1, BININT2, BININT
  const tuple = (values: readonly number[]): void => {
    if (values.length > 3) op('(');
    values.forEach(int);
    op(values.length > 3 ? 't' : [')', '\x85', '\x86', '\x87'][values.length]!);
  };
  const emptyDict = (): void => {
    global('collections', 'OrderedDict');
    op(')R');
  };

  op('\x80\x02');
  emptyDict();
  op('(');
  for (const { name, shape, dtype, storage } of entries) {
    const { key, count } = keys.get(storage)!;
    text(name);
    global('torch._utils', '_rebuild_tensor_v2');
    op('((');
    memoized('storage', () => text('storage'));
    global('torch', dtype === 'F32' ? 'FloatStorage' : 'BoolStorage');
    text(key);
    memoized('cpu', () => text('cpu'));
    int(count);
    op('tQ'); // BINPERSID
    int(0);
    tuple(shape);
    tuple(shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1)));
    op('\x89');
    emptyDict();
    op('tR');
  }
  op('u}');
  text('_metadata');
  emptyDict();
  op('(');
  text('');
  op('}');
  text('version');
  int(1);
  op('susb.'); // metadata[''] = {'version': 1}; BUILD
  return concat(out);
}

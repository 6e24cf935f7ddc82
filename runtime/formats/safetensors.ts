// Safetensors: one file (sharded.ts puts several together).
// Opening reads the 8-byte length and the JSON header, nothing else, and believes none of it before
// it is checked against the file's size. Tensors are read by ranges afterwards. Sub-byte and 8-bit
// floats are not read; writing is elsewhere.
// Reference: safetensors 0.8 (README "Format", tensor.rs `Metadata::validate`): no overlap, no
// holes, no trailing bytes.

import { readUsing } from '../files/bytes.ts';
import { fileKind, foreignFile, HEAD } from '../files/file_kind.ts';
import { itemBytes, tensorRange, type Checkpoint, type StoredDType, type TensorInfo } from './checkpoint.ts';
import { WeightsError } from '../base/errors.ts';
import { isObject } from '../base/json.ts';
import { missingTensor, shown } from '../base/messages.ts';
import type { ByteSource } from '../files/model_source.ts';

/** A checkpoint from safetensors, with what the writer noted in `__metadata__`. */
export interface Safetensors extends Checkpoint {
  readonly metadata: ReadonlyMap<string, string>;
}

interface Entry extends TensorInfo {
  readonly begin: number; // from the start of the file
}

const MAX_HEADER = 100_000_000; // as in the reference
const MAX_DEPTH = 3; // the header, a tensor, its shape

/**
 * Opens one file and owns it from then on. Throws `WeightsError` for a header that is damaged or
 * contradicts the file.
 */
export async function openSafetensors(bytes: ByteSource): Promise<Safetensors> {
  try {
    const { entries, metadata } = await readHeader(bytes);
    const entry = (name: string) => {
      const found = entries.get(name);
      if (!found) throw missingTensor(bytes.label, [name], [...entries.keys()]);
      return found;
    };
    return {
      label: bytes.label,
      metadata,
      names: () => [...entries.keys()],
      has: (name) => entries.has(name),
      info: entry,
      async read(name, start, end, into) {
        const found = entry(name);
        const [from, to] = tensorRange(bytes.label, found, start, end);
        return readUsing(bytes, found.begin + from, found.begin + to, into);
      },
      close: () => bytes.close(),
    };
  } catch (error) {
    await bytes.close();
    throw error;
  }
}

async function readHeader(bytes: ByteSource): Promise<{ entries: Map<string, Entry>; metadata: Map<string, string> }> {
  const { label, size } = bytes;
  if (size < 10) throw damaged(label, `a file of ${size} bytes`, 'at least 10');
  const prefix = await bytes.read(0, 8);
  const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true);
  const dataStart = 8 + Number(length);
  if (length < 2n || length > MAX_HEADER || dataStart > size) {
    refuseForeign(label, prefix, await bytes.read(8, Math.min(HEAD, size)));
    if (length < 2n || length > MAX_HEADER) throw damaged(label, `a header of ${length} bytes`, `2 to ${MAX_HEADER}`);
    throw damaged(label, `a file of ${size} bytes`, `at least ${dataStart}, the end of its header`);
  }

  const headerBytes = await bytes.read(8, dataStart);
  refuseForeign(label, prefix, headerBytes);
  const header = parseHeader(label, headerBytes);
  const metadata = new Map<string, string>();
  const entries: Entry[] = [];
  for (const [name, value] of Object.entries(header)) {
    if (name !== '__metadata__') {
      entries.push(tensorEntry(label, name, value, dataStart, size));
      continue;
    }
    if (!isObject(value)) throw damaged(label, 'a __metadata__ that is no object', 'one of strings');
    for (const [key, text] of Object.entries(value)) {
      if (typeof text !== 'string') throw damaged(label, `__metadata__ ${shown(key)} that is no string`, 'one');
      metadata.set(key, text);
    }
  }

  // In the file's order each tensor must begin where the last one ended, and the last one must end
  // the file.
  let at = dataStart;
  for (const { name, begin, byteLength } of entries.toSorted(
    (a, b) => a.begin - b.begin || a.byteLength - b.byteLength,
  )) {
    if (begin !== at)
      throw damaged(label, `${shown(name)} at byte ${begin}`, `${at}: tensors must neither overlap nor leave holes`);
    at = begin + byteLength;
  }
  if (at !== size) throw damaged(label, `a file of ${size} bytes`, `${at}, the end of its last tensor`);
  return { entries: new Map(entries.map((entry) => [entry.name, entry])), metadata };
}

/** Throws for another kind of file; what is damaged is told by what is wrong with it. */
function refuseForeign(label: string, prefix: Uint8Array, rest: Uint8Array): void {
  const kind = fileKind(Uint8Array.of(...prefix, ...rest.subarray(0, HEAD)));
  if (kind === undefined || kind === 'safetensors') return;
  const advice = kind === 'zip' ? 'If it is a file of PyTorch, name it pytorch_model.bin; else unpack it.' : undefined;
  throw new WeightsError(`${label}: got ${foreignFile(kind, 'a safetensors file', advice)}`);
}

function parseHeader(label: string, bytes: Uint8Array): Record<string, unknown> {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw damaged(label, 'a header that is not UTF-8', 'JSON', cause);
  }
  if (text[0] !== '{') throw damaged(label, `a header that begins with ${JSON.stringify(text[0])}`, '"{"');
  checkKeys(label, text);
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch (cause) {
    throw damaged(label, 'a header that is not JSON', 'one object', cause);
  }
}

/**
 * One pass over the text for what JSON.parse lets through: keys written twice, of which it silently
 * keeps the last, and nesting deeper than any header has, which some hosts' parsers answer with a
 * stack overflow.
 */
function checkKeys(label: string, text: string): void {
  const open: Set<string>[] = []; // the keys seen in each object or array that is open
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (char === '{' || char === '[') {
      if (open.push(new Set()) > MAX_DEPTH) {
        throw damaged(
          label,
          `a header nested more than ${MAX_DEPTH} deep`,
          'names of tensors, each with dtype, shape and data_offsets',
        );
      }
    } else if (char === '}' || char === ']') open.pop();
    else if (char === '"') {
      const start = at;
      while (++at < text.length && text[at] !== '"') if (text[at] === '\\') at++;
      let colon = at + 1;
      while (text[colon] === ' ' || text[colon] === '\n' || text[colon] === '\r' || text[colon] === '\t') colon++;
      if (text[colon] !== ':') continue;
      const key = unescaped(text.slice(start, at + 1));
      if (open.at(-1)?.has(key)) throw damaged(label, `${shown(key)} twice in the header`, 'each name once');
      open.at(-1)?.add(key);
    }
  }
}

function unescaped(key: string): string {
  try {
    return key.includes('\\') ? (JSON.parse(key) as string) : key.slice(1, -1);
  } catch {
    return key; // not JSON, as JSON.parse is about to say of the whole header
  }
}

function tensorEntry(label: string, name: string, value: unknown, dataStart: number, size: number): Entry {
  const wrong = (got: string, expected: string) => damaged(label, `${got} for ${shown(name)}`, expected);
  if (!isObject(value)) throw wrong('no object', 'one with dtype, shape and data_offsets');
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== 'string' || !Object.hasOwn(itemBytes, dtype))
    throw wrong(`dtype ${shown(dtype)}`, `one of ${Object.keys(itemBytes).join(', ')}`);
  if (!Array.isArray(shape) || !shape.every(isCount)) throw wrong(`shape ${shown(shape)}`, 'a list of sizes');
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount))
    throw wrong(`data_offsets ${shown(offsets)}`, 'a begin and an end');

  const [begin, end] = offsets as [number, number];
  if (begin > end) throw wrong(`data_offsets ${shown(offsets)}`, 'a begin before the end');
  if (end > size - dataStart)
    throw wrong(`data_offsets ${shown(offsets)}`, `an end within the ${size - dataStart} bytes of data that came`);
  let byteLength = itemBytes[dtype as StoredDType];
  for (const count of shape as number[]) {
    byteLength *= count;
    if (!Number.isSafeInteger(byteLength)) throw wrong(`shape ${shown(shape)}`, 'one that fits in a file');
  }
  if (byteLength !== end - begin)
    throw wrong(`${end - begin} bytes`, `${byteLength} from shape ${shown(shape)} of ${shown(dtype)}`);
  return { name, dtype: dtype as StoredDType, shape: shape as number[], byteLength, begin: dataStart + begin };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function damaged(label: string, got: string, expected: string, cause?: unknown): WeightsError {
  return new WeightsError(
    `${label}: got ${got}, expected ${expected}. The file is damaged or is no safetensors file; fetch it again.`,
    { cause },
  );
}

// Seeded mutations of files: what a cut connection, a bad disk or someone with bad intentions makes
// of a good file.
// Knows no format: a sample says where its parts begin (`cuts`) and where its integers lie
// (`fields`).

/** Uniform numbers in [0, 1). */
export type Random = () => number;

export interface Sample {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Where parts of the file begin or end, ascending. */
  readonly cuts: readonly number[];
  /** Unsigned integers: offset, bytes (1 to 8), big-endian where said. */
  readonly fields: readonly { at: number; size: number; big?: boolean }[];
  /** From here on no byte says how to read the others. */
  readonly dataStart?: number;
  /** A text of JSON: some mutants change a value and stay JSON. */
  readonly json?: boolean;
  /**
   * A part whose mutants are packed soundly, with right lengths and checksums, so that they come
   * past the outer format's checks.
   */
  readonly inner?: { readonly sample: Sample; pack(bytes: Uint8Array): Uint8Array };
}

export interface Mutant {
  bytes: Uint8Array;
  /** What was done, for the report of a failure. */
  how: string;
}

const BYTES = [0, 1, 0x7f, 0x80, 0xff, 0x20, 0x30, 0x22];

/** Sizes and offsets that readers trip over, those near `size` included. */
function oddIntegers(size: number): bigint[] {
  const about = (exponent: bigint) => [2n ** exponent - 1n, 2n ** exponent, 2n ** exponent + 1n];
  return [0n, 1n, 2n, 0x7fn, 0xffn, 0xffffn, ...about(31n), ...about(32n), ...about(53n), ...about(62n), 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n,
    BigInt(size), BigInt(size) + 1n, BigInt(Math.max(0, size - 1)), BigInt(size) * 2n]; // prettier-ignore
}

const below = (random: Random, n: number) => Math.floor(random() * n);
const pick = <T>(random: Random, list: readonly T[]): T => list[below(random, list.length)]!;

function writeField(bytes: Uint8Array, { at, size, big }: Sample['fields'][number], value: bigint): void {
  for (let i = 0; i < size && at + i < bytes.length; i++)
    bytes[at + (big ? size - 1 - i : i)] = Number((value >> BigInt(8 * i)) & 0xffn);
}

/** Half of all places are where a part begins or ends, give or take one byte. */
function place(random: Random, { cuts }: Sample, length: number): number {
  if (cuts.length === 0 || random() < 0.5) return below(random, length + 1);
  return Math.min(length, Math.max(0, pick(random, cuts) + below(random, 3) - 1));
}

function run(random: Random, sample: Sample, length: number): [number, number] {
  const start = place(random, sample, length);
  if (random() < 0.3) return [start, place(random, sample, length)].sort((a, b) => a - b) as [number, number];
  return [start, Math.min(length, start + 1 + below(random, 2 ** below(random, 8)))];
}

function joined(...parts: Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (out.set(part, at), at + part.length), 0);
  return out;
}

type Step = (
  bytes: Uint8Array,
  sample: Sample,
  random: Random,
  others: readonly Sample[],
  tokens: readonly Uint8Array[],
) => Mutant;

const steps: Readonly<Record<string, Step>> = {
  flip(bytes, sample, random) {
    const at = Math.min(bytes.length - 1, place(random, sample, bytes.length));
    const bit = below(random, 8);
    if (at >= 0) bytes[at]! ^= 1 << bit;
    return { bytes, how: `flip bit ${bit} of ${at}` };
  },
  set(bytes, sample, random) {
    const at = Math.min(bytes.length - 1, place(random, sample, bytes.length));
    const value = random() < 0.7 ? pick(random, BYTES) : below(random, 256);
    if (at >= 0) bytes[at] = value;
    return { bytes, how: `set ${at} to ${value}` };
  },
  field(bytes, sample, random) {
    if (sample.fields.length === 0) return steps.set!(bytes, sample, random, [], []);
    const field = pick(random, sample.fields);
    const value = pick(random, oddIntegers(bytes.length));
    writeField(bytes, field, value);
    return { bytes, how: `integer at ${field.at} to ${value}` };
  },
  truncate(bytes, sample, random) {
    const at = place(random, sample, bytes.length);
    return { bytes: bytes.slice(0, at), how: `cut at ${at}` };
  },
  remove(bytes, sample, random) {
    const [from, to] = run(random, sample, bytes.length);
    return { bytes: joined(bytes.subarray(0, from), bytes.subarray(to)), how: `remove ${from} to ${to}` };
  },
  duplicate(bytes, sample, random) {
    const [from, to] = run(random, sample, bytes.length);
    return { bytes: joined(bytes.subarray(0, to), bytes.subarray(from)), how: `double ${from} to ${to}` };
  },
  swap(bytes, sample, random) {
    const [a, b, c] = [
      place(random, sample, bytes.length),
      place(random, sample, bytes.length),
      place(random, sample, bytes.length),
    ].sort((x, y) => x - y) as [number, number, number];
    return {
      bytes: joined(bytes.subarray(0, a), bytes.subarray(b, c), bytes.subarray(a, b), bytes.subarray(c)),
      how: `swap ${a} to ${b} with ${b} to ${c}`,
    };
  },
  insert(bytes, sample, random) {
    const at = place(random, sample, bytes.length);
    const extra = new Uint8Array(1 + below(random, 2 ** below(random, 10))).fill(pick(random, BYTES));
    if (random() < 0.5) extra.forEach((_, i) => (extra[i] = below(random, 256)));
    return { bytes: joined(bytes.subarray(0, at), extra, bytes.subarray(at)), how: `insert ${extra.length} at ${at}` };
  },
  token(bytes, sample, random, _others, tokens) {
    if (tokens.length === 0) return steps.insert!(bytes, sample, random, [], []);
    const at = place(random, sample, bytes.length);
    const token = pick(random, tokens);
    const over = random() < 0.5 ? token.length : 0;
    return {
      bytes: joined(bytes.subarray(0, at), token, bytes.subarray(Math.min(bytes.length, at + over))),
      how: `${over ? 'write' : 'insert'} token ${tokens.indexOf(token)} at ${at}`,
    };
  },
  splice(bytes, sample, random, others) {
    const other = pick(random, others);
    const [at, from] = [place(random, sample, bytes.length), place(random, other, other.bytes.length)];
    return {
      bytes: joined(bytes.subarray(0, at), other.bytes.subarray(from)),
      how: `up to ${at}, then ${other.name} from ${from}`,
    };
  },
};

const STEP_NAMES = [
  'flip',
  'flip',
  'set',
  'set',
  'field',
  'field',
  'field',
  'truncate',
  'remove',
  'duplicate',
  'swap',
  'insert',
  'token',
  'token',
  'splice',
];

const ODD_VALUES: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -1,
  1,
  0.5,
  1e308,
  -0,
  2 ** 31,
  2 ** 53,
  2 ** 53 + 2,
  -(2 ** 63),
  '',
  'F32',
  'x'.repeat(300),
  '../../x',
  '/etc/passwd',
  '__proto__',
  '\u0000',
  '\ud800',
  [],
  {},
  [[]],
  [0, 0],
  [-1],
  [2 ** 53],
  Array(40).fill(1),
  { content: '' },
];
const ODD_KEYS = ['__proto__', 'constructor', '', '\u0000', 'dtype', 'x'.repeat(300), '\u001b[31m'];

/** Changes one to three values or keys of a JSON text, anywhere in it. */
function mutateJson(bytes: Uint8Array, random: Random): Mutant {
  const root = { value: JSON.parse(new TextDecoder().decode(bytes)) as unknown };
  let how = '';
  for (let times = 1 + below(random, 3); times > 0; times--) {
    let [parent, key, path] = [root as Record<string, unknown>, 'value', ''];
    for (
      let value = parent[key];
      typeof value === 'object' && value !== null && Object.keys(value).length > 0 && random() < 0.85;
      value = parent[key]
    ) {
      parent = value as Record<string, unknown>;
      key = pick(random, Object.keys(parent));
      path += `/${key}`;
    }
    const odd =
      random() < 0.3 && typeof parent[key] === 'number'
        ? (parent[key] as number) + pick(random, [-1, 1, 0.5, 2 ** 32, 2 ** 53])
        : pick(random, ODD_VALUES);
    const move = below(random, 5);
    if (move === 0 && parent !== root) delete parent[key];
    else if (move === 1 && !Array.isArray(parent) && parent !== root)
      Object.defineProperty(parent, pick(random, ODD_KEYS), {
        value: random() < 0.5 ? parent[key] : odd,
        enumerable: true,
        configurable: true,
        writable: true,
      });
    else parent[key] = structuredClone(odd);
    how += `; ${['remove', 'add a key at'][move] ?? 'change'} ${path}`;
  }
  return { bytes: new TextEncoder().encode(JSON.stringify(root.value) ?? ''), how };
}

/** One to five mutations of a copy of the sample, one most often. */
export function mutate(
  sample: Sample,
  random: Random,
  others: readonly Sample[],
  tokens: readonly Uint8Array[],
): Mutant {
  if (sample.inner && random() < 0.5) {
    const inside = mutate(sample.inner.sample, random, others, tokens);
    return { bytes: sample.inner.pack(inside.bytes), how: `${sample.name}, inside ${inside.how}` };
  }
  if (sample.json && random() < 0.6) {
    const { bytes, how } = mutateJson(sample.bytes, random);
    return { bytes, how: sample.name + how };
  }
  let mutant: Mutant = { bytes: sample.bytes.slice(), how: sample.name };
  do {
    const { bytes, how } = steps[pick(random, STEP_NAMES)]!(mutant.bytes, sample, random, others, tokens);
    mutant = { bytes, how: `${mutant.how}; ${how}` };
  } while (random() < 0.4);
  return mutant;
}

/**
 * How many cases `systematic` has for a sample: itself, cut at each part's edge, and each integer
 * set to each odd value.
 */
export function systematicCount({ cuts, fields, bytes }: Sample): number {
  return 1 + cuts.length + fields.length * oddIntegers(bytes.length).length;
}

/** The n-th of those. */
export function systematic(sample: Sample, n: number): Mutant {
  const { name, bytes, cuts, fields } = sample;
  if (n === 0) return { bytes: bytes.slice(), how: `${name} as it is` };
  if (n <= cuts.length) return { bytes: bytes.slice(0, cuts[n - 1]!), how: `${name}; cut at ${cuts[n - 1]}` };
  const values = oddIntegers(bytes.length);
  const field = fields[Math.floor((n - 1 - cuts.length) / values.length)]!;
  const value = values[(n - 1 - cuts.length) % values.length]!;
  const changed = bytes.slice();
  writeField(changed, field, value);
  return { bytes: changed, how: `${name}; integer at ${field.at} to ${value}` };
}

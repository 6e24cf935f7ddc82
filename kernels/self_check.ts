// Whether the matrix unit computes what it should, asked of the adapter at hand before a model
// relies on it: the extension is young, drivers differ, and a wrong product is no error to them. It
// sees to it that the other kernels are used then, and prints nothing.

import type { Device } from '../runtime/compute/device.ts';
import { UnsupportedError } from '../runtime/base/errors.ts';
import { float32ToFloat16 } from '../runtime/base/half.ts';
import { record, type Recorder } from '../runtime/compute/program.ts';
import type { Tensor } from '../runtime/compute/tensor.ts';
import { attention } from './attention/attention.ts';
import { choices, variantWithoutSubgroupMatrix } from './common/choices.ts';
import { linear } from './linear/linear.ts';
import { createUniform, writeCall } from './state.ts';

// Rows, columns and queries that end in the middle of every tile, a K that ends in the middle of a
// step.
const [M, N, K] = [150, 280, 264];
const [HEADS, HEAD_DIM] = [2, 64];
const LARGEST = 1 << 30;

/**
 * Computes a few products the way `choices` would on the matrix unit, once a device. Where they do
 * not compile or are wrong, `device.tuning` turns to the kernels that do without it, and why is
 * returned, for a warning, each time. Where nothing would be computed on it this does nothing.
 */
export function checkSubgroupMatrix(device: Device): Promise<string | undefined> {
  const known = checks.get(device);
  if (known) return known;
  const { gemm, attention } = choices(device);
  if (gemm !== 'subgroup_matrix' && attention !== 'subgroup_matrix') return Promise.resolve(undefined);
  const result = check(device, gemm === 'subgroup_matrix', attention === 'subgroup_matrix');
  checks.set(device, result);
  return result;
}
const checks = new WeakMap<Device, Promise<string | undefined>>();

async function check(device: Device, gemm: boolean, attention: boolean): Promise<string | undefined> {
  const parts = [
    ...(gemm ? checkProducts(device) : []),
    ...(attention ? [true, false].map((causal) => checkAttention(device, causal)) : []),
  ];
  const found = await Promise.allSettled(parts);
  device.check(); // a lost device says so itself
  const wrong = found.flatMap((r) => (r.status === 'fulfilled' ? (r.value ?? []) : whyNot(r.reason)));
  if (wrong.length === 0) return undefined;
  const variant = variantWithoutSubgroupMatrix(device);
  device.tuning = { ...device.tuning, gemm: variant, attention: variant };
  return `The matrix unit of '${device.name}' is not used, and prefill and the fine model are slower without it: ${wrong[0]}. Update the driver.`;
}

function whyNot(error: unknown): string {
  if (!(error instanceof UnsupportedError)) throw error;
  return error.message.split('\n').slice(0, 2).join(' ').trim().replace(/\.$/, '');
}

/** Whole numbers 0 … 15 without a pattern that a misplaced tile would repeat. */
const wholes = (count: number, seed: number): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => (Math.imul(i + seed, 0x9e3779b1) ^ Math.imul(i, i)) >>> 28);

/**
 * With the small tile and with the large one. Products and sums have no rounding in f32, and would
 * have in f16: any other result is wrong.
 */
function checkProducts(device: Device): Promise<string | undefined>[] {
  const [xs, ws] = [wholes(M * K, 1), wholes(N * K, 2)];
  const expected = Float64Array.from({ length: M * N }, (_, i) => {
    let sum = 0;
    for (let k = 0; k < K; k++) sum += xs[Math.floor(i / N) * K + k]! * ws[(i % N) * K + k]!;
    return sum;
  });
  return [0, LARGEST].map((largeTileFrom) =>
    compare(
      device,
      'a product',
      M,
      N,
      0,
      { x: [[M, K], xs], w: [[N, K], ws] },
      (r, y, { x, w }, call) =>
        linear(r, y, x!, { weight: w!, bias: null }, call, { variant: 'subgroup_matrix', largeTileFrom }),
      (row, column) => expected[row * N + column]!,
    ),
  );
}

/** Scores have no rounding; probabilities become f16, and are off by half a step of it. */
function checkAttention(device: Device, causal: boolean): Promise<string | undefined> {
  const hidden = HEADS * HEAD_DIM;
  const [qs, ks, vs] = [1, 2, 3].map((seed) => wholes(M * hidden, seed).map((v) => v / 8 - 1)) as [
    Float32Array,
    Float32Array,
    Float32Array,
  ];
  const shape = [1, HEADS, M, HEAD_DIM];
  const rows = new Map<number, Float64Array>(); // probabilities of a query and head, for all columns
  const probabilities = (row: number, head: number): Float64Array => {
    let p = rows.get(row * HEADS + head);
    if (p) return p;
    p = Float64Array.from({ length: causal ? row + 1 : M }, (_, t) => {
      let score = 0;
      for (let i = 0; i < HEAD_DIM; i++)
        score += qs[row * hidden + head * HEAD_DIM + i]! * ks[(head * M + t) * HEAD_DIM + i]!;
      return Math.exp(score / Math.sqrt(HEAD_DIM));
    });
    const total = p.reduce((a, b) => a + b);
    rows.set(row * HEADS + head, (p = p.map((v) => v / total)));
    return p;
  };
  const record = (r: Recorder, y: Tensor, { q, keys, values }: Record<string, Tensor>, call: Tensor): void =>
    attention(r, y, q!, { keys: keys!, values: values! }, call, { causal, variant: 'subgroup_matrix' });
  return compare(
    device,
    'attention',
    M,
    hidden,
    2 ** -9,
    { q: [[M, hidden], qs], keys: [shape, ks], values: [shape, vs] },
    record,
    (row, column) => {
      const [head, i] = [Math.floor(column / HEAD_DIM), column % HEAD_DIM];
      return probabilities(row, head).reduce((sum, p, t) => sum + p * vs[(head * M + t) * HEAD_DIM + i]!, 0);
    },
  );
}

/**
 * Runs what `body` records over `inputs` (x and q in f32, the others in f16) and compares y (rows,
 * columns) with `expected`; what differs, if anything does.
 */
async function compare(
  device: Device,
  what: string,
  rows: number,
  columns: number,
  allowed: number,
  inputs: Record<string, [shape: number[], values: Float32Array]>,
  body: (r: Recorder, y: Tensor, inputs: Record<string, Tensor>, call: Tensor) => void,
  expected: (row: number, column: number) => number,
): Promise<string | undefined> {
  const owner = { name: 'check' }; // an object of its own: checks run side by side
  try {
    const tensors = Object.fromEntries(
      Object.entries(inputs).map(([name, [shape, values]]) => {
        const half = name !== 'x' && name !== 'q';
        const t = device.createTensor(shape, half ? 'f16' : 'f32', owner, name);
        device.write(t, half ? new Uint8Array(float32ToFloat16(values).buffer) : values);
        return [name, t];
      }),
    );
    const y = device.createTensor([rows, columns], 'f32', owner, 'y');
    const call = createUniform(device, 3, owner, 'call');
    writeCall(device, call, { count: rows });
    const program = await record(device, (r) => body(r, y, tensors, call), { label: 'check' });
    program.run();
    program.dispose();
    const got = await device.readFloat32(y);
    for (const [i, value] of got.entries()) {
      const wanted = expected(Math.floor(i / columns), i % columns);
      if (!(Math.abs(value - wanted) <= allowed))
        return `${what} is ${value} at [${Math.floor(i / columns)}, ${i % columns}], expected ${wanted}`;
    }
    return undefined;
  } finally {
    device.destroyOwned(owner);
  }
}

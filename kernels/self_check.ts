// Tests a device before a model relies on it, for what goes wrong without an error.
// Dispatches: some drivers leave a few out.
// The subgroup-matrix (tensor core) kernels, once per device: the WGSL extension is experimental,
// drivers differ, and a wrong product raises no error. On failure the kernels are disabled for that
// device, and the reason is returned as a warning.

import type { Device } from '../runtime/compute/device.ts';
import { UnsupportedError } from '../runtime/base/errors.ts';
import { float32ToFloat16 } from '../runtime/base/half.ts';
import { record, type Recorder } from '../runtime/compute/program.ts';
import type { Tensor } from '../runtime/compute/tensor.ts';
import { attention } from './attention/attention.ts';
import { attend } from './attention/reference.ts';
import { choices, NEVER, variantWithoutSubgroupMatrix } from './common/choices.ts';
import { count } from './count/count.ts';
import { linear } from './linear/linear.ts';
import { linear as referenceLinear } from './linear/reference.ts';
import { createUniform, writeCall } from './state.ts';

// Sizes at which rows, columns and queries end in the middle of every tile, and K in the middle of
// a step of the inner loop.
const [M, N, K] = [150, 280, 264];
const [HEADS, HEAD_DIM] = [2, 64];

const CHAIN = 200; // dispatches: more than a decode step has

/**
 * Throws `UnsupportedError` where not every dispatch of a chain runs (seen on macOS: gfx-rs/wgpu,
 * issue 9176): speech would be noise. Not remembered: 200 such dispatches cost next to nothing.
 */
export async function checkDispatches(device: Device): Promise<void> {
  const owner = { name: 'check' };
  try {
    const y = device.createTensor([1], 'u32', owner, 'count');
    const program = await record(device, (r) => r.repeat(CHAIN, () => count(r, y)), { label: 'check dispatches' });
    program.run();
    program.dispose();
    const [ran] = new Uint32Array(await device.read(y));
    if (ran !== CHAIN)
      throw new UnsupportedError(
        `'${device.name}' ran ${ran} of ${CHAIN} dispatches, expected all: its driver loses work. Update the driver or the browser, or compute on the processor: backend 'wasm'.`,
      );
  } finally {
    device.destroyOwned(owner);
  }
}

/**
 * Compares the subgroup-matrix kernels that `choices()` selects on this device with f64 references.
 * If one does not compile or gives a wrong value, `device.tuning` selects other kernels from then
 * on, and the reason is returned for a warning, on this call and on every later one. The check runs
 * once per device; where `choices()` selects none of these kernels, it does nothing.
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
  device.check(); // throws if the device is lost, which says nothing about the kernels
  const wrong = found.flatMap((r) => (r.status === 'fulfilled' ? (r.value ?? []) : whyNot(r.reason)));
  if (wrong.length === 0) return undefined;
  const variant = variantWithoutSubgroupMatrix(device);
  device.tuning = { ...device.tuning, gemm: variant, attention: variant };
  return `The matrix unit of '${device.name}' is not used, and prefill and the fine model are slower without it: ${wrong[0]}. Update the driver.`;
}

/** The reason why a kernel could not run, as part of a sentence. Rethrows any other error. */
function whyNot(error: unknown): string {
  if (!(error instanceof UnsupportedError)) throw error;
  return error.message.split('\n').slice(0, 2).join(' ').trim().replace(/\.$/, '');
}

/** Whole numbers 0 … 15, without a period at which a misplaced tile would go unnoticed. */
const wholes = (count: number, seed: number): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => (Math.imul(i + seed, 0x9e3779b1) ^ Math.imul(i, i)) >>> 28);

/**
 * A product with each tile that this device may get. Whole numbers this small have no rounding
 * in f32 sums, and would have in f16 sums, so any difference is an error.
 */
function checkProducts(device: Device): Promise<string | undefined>[] {
  const [xs, ws] = [wholes(M * K, 1), wholes(N * K, 2)];
  const { values } = referenceLinear(xs, ws, null, [M, N, K]);
  const tiles = [
    { hugeTileFrom: NEVER, largeTileFrom: NEVER },
    { hugeTileFrom: NEVER, largeTileFrom: 0 },
    ...(choices(device).hugeTileFrom < NEVER ? [{ hugeTileFrom: 0, largeTileFrom: 0 }] : []),
  ];
  return tiles.map((tile) =>
    compare(device, 'a product', [M, N], values, 0, { x: [[M, K], xs], w: [[N, K], ws] }, (r, y, { x, w }, call) =>
      linear(r, y, x!, { weight: w!, bias: null }, call, { variant: 'subgroup_matrix', ...tile }),
    ),
  );
}

/**
 * The scores have no rounding. Probabilities are rounded to f16, which the bound 2^-9 allows for.
 */
function checkAttention(device: Device, causal: boolean): Promise<string | undefined> {
  const hidden = HEADS * HEAD_DIM;
  const [q, keys, values] = [1, 2, 3].map((seed) => wholes(M * hidden, seed).map((v) => v / 8 - 1)) as [
    Float32Array,
    Float32Array,
    Float32Array,
  ];
  const sizes = { heads: HEADS, headDim: HEAD_DIM, capacity: M };
  const expected = new Float64Array(M * hidden);
  for (let m = 0; m < M; m++) {
    const query = q.subarray(m * hidden, (m + 1) * hidden);
    expected.set(attend(query, keys, values, sizes, 0, causal ? m + 1 : M).values, m * hidden);
  }
  const shape = [1, HEADS, M, HEAD_DIM];
  return compare(
    device,
    'attention',
    [M, hidden],
    expected,
    2 ** -9,
    { q: [[M, hidden], q], keys: [shape, keys], values: [shape, values] },
    (r, y, t, call) =>
      attention(r, y, t.q!, { keys: t.keys!, values: t.values! }, call, { causal, variant: 'subgroup_matrix' }),
  );
}

/**
 * Runs what `body` records over `inputs` (x and q in f32, the others in f16), and compares y (rows,
 * columns) with `expected`. Resolves to a description of the first value that differs by more than
 * `allowed`, or to undefined.
 */
async function compare(
  device: Device,
  what: string,
  [rows, columns]: readonly [number, number],
  expected: Float64Array,
  allowed: number,
  inputs: Record<string, [shape: number[], values: Float32Array]>,
  body: (r: Recorder, y: Tensor, inputs: Record<string, Tensor>, call: Tensor) => void,
): Promise<string | undefined> {
  const owner = { name: 'check' }; // a new object for each check, because they run at the same time
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
      const wanted = expected[i]!;
      if (!(Math.abs(value - wanted) <= allowed))
        return `${what} is ${value} at [${Math.floor(i / columns)}, ${i % columns}], expected ${wanted}`;
    }
    return undefined;
  } finally {
    device.destroyOwned(owner);
  }
}

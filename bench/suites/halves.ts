// Checks that this driver handles f16 correctly: all 65,536 values are unpacked to f32, packed back
// and used in `f16` arithmetic, and compared bit for bit with the host (runtime/base/half.ts). WGSL
// lets a driver flush subnormals to zero, round a sum or product to either neighbour, and leaves
// infinity and NaN undefined; such results are counted separately and are not wrong.

import { USAGE } from '../../runtime/compute/backend.ts';
import type { Device } from '../../runtime/compute/device.ts';
import { float16ToFloat32, float32ToFloat16 } from '../../runtime/base/half.ts';
import { record } from '../../runtime/compute/program.ts';
import type { Tensor } from '../../runtime/compute/tensor.ts';
import { benchShader } from '../shaders.ts';

/** The counts of one conversion or operation over all f16 values. */
export interface Halves {
  readonly what: string;
  /** Number of results that are finite. */
  readonly compared: number;
  readonly wrong: number;
  /** Results that are zero because a subnormal input or result was flushed. */
  readonly flushed: number;
  /** Results rounded to the other neighbour of the exact value. */
  readonly roundedOtherwise: number;
  /** Results with infinity or NaN that differ from the host's; two NaNs are the same. */
  readonly nonFiniteOtherwise: number;
  /** Describes the first wrong result. */
  readonly example: string | null;
}

const COUNT = 65536;
const all = Uint16Array.from({ length: COUNT }, (_, i) => i);
const floats = float16ToFloat32(all);
const others = all.map((h) => Math.imul(h, 40503) + 12345); // a second operand for each value
const ULP_STEPS = [0.25, 0.5, 0.75]; // fractions of the distance from one f16 value to the next

const isSubnormal = (half: number): boolean => (half & 0x7c00) === 0 && (half & 0x3ff) !== 0;
const isFinite16 = (half: number): boolean => (half & 0x7c00) !== 0x7c00;
const isNaN16 = (half: number): boolean => (half & 0x7fff) > 0x7c00;
/** Position in the order of all f16 values: neighbours differ by 1, and both zeros are 0. */
const ordinal = (half: number): number => (half & 0x8000 ? -(half & 0x7fff) : half);
const hex = (half: number): string => `0x${half.toString(16).padStart(4, '0')}`;

/** Compares `count` results, given as f16 bits, and counts them by kind. */
function tally(
  what: string,
  count: number,
  at: (i: number) => { expected: number; got: number; exact?: boolean; subnormalIn: boolean; of: string },
): Halves {
  let [compared, wrong, flushed, roundedOtherwise, nonFiniteOtherwise] = [0, 0, 0, 0, 0];
  let example: string | null = null;
  for (let i = 0; i < count; i++) {
    const { expected, got, exact = false, subnormalIn, of } = at(i);
    if (!isFinite16(expected)) {
      if (got !== expected && !(isNaN16(got) && isNaN16(expected))) nonFiniteOtherwise++;
      continue;
    }
    compared++;
    if (got === expected || (ordinal(got) === 0 && ordinal(expected) === 0)) continue;
    if ((got & 0x7fff) === 0 && (isSubnormal(expected) || subnormalIn)) flushed++;
    else if (!exact && Math.abs(ordinal(got) - ordinal(expected)) === 1) roundedOtherwise++;
    else {
      wrong++;
      example ??= `${of}: got ${hex(got)}, expected ${hex(expected)}`;
    }
  }
  return { what, compared, wrong, flushed, roundedOtherwise, nonFiniteOtherwise, example };
}

/** Runs a shader over pairs of f16 values and reads each output back. */
async function overPairs(
  device: Device,
  name: string,
  inputs: Readonly<Record<string, Uint32Array>>,
  outputs: Readonly<Record<string, number>>,
): Promise<Record<string, ArrayBuffer>> {
  const owner = { name: 'bench halves' };
  const tensor = (label: string, words: number): Tensor => ({
    buffer: device.createBuffer(4 * words, USAGE.STORAGE | USAGE.COPY_DST | USAGE.COPY_SRC, owner, label),
    offset: 0,
    shape: [words],
    dtype: 'u32',
    label,
  });
  try {
    const bind: Record<string, Tensor> = {};
    for (const [label, words] of Object.entries(inputs))
      device.write((bind[label] = tensor(label, words.length)), words);
    for (const [label, words] of Object.entries(outputs)) bind[label] = tensor(label, words);
    const program = await record(device, (r) => r.dispatch(benchShader(name), { bind, grid: [COUNT / 2 / 64] }), {
      label: name,
    });
    program.run();
    const read: Record<string, ArrayBuffer> = {};
    for (const label of Object.keys(outputs)) read[label] = await device.read(bind[label]!);
    program.dispose();
    return read;
  } finally {
    device.destroyOwned(owner);
  }
}

/**
 * The i-th f32 as f16 bits, if it is exactly an f16 value or NaN. Any other value becomes NaN
 * (0x7e00), which the comparison counts as wrong.
 */
function asHalf(bits: Uint32Array, i: number): number {
  const value = new Float32Array(bits.buffer, 4 * i, 1);
  const half = float32ToFloat16(value)[0]!;
  return Object.is(float16ToFloat32(Uint16Array.of(half))[0], value[0]) || Number.isNaN(value[0]) ? half : 0x7e00;
}

/** All comparisons; those of `f16` arithmetic only on devices that have it. */
export async function checkHalves(device: Device): Promise<Halves[]> {
  const words = new Uint32Array(all.buffer);
  const { y } = await overPairs(device, 'unpack_halves', { x: words }, { y: COUNT });
  const unpacked = new Uint32Array(y!);
  const results = [
    tally('unpack2x16float', COUNT, (i) => ({
      expected: i,
      got: asHalf(unpacked, i),
      exact: true,
      subnormalIn: isSubnormal(i),
      of: hex(i),
    })),
  ];

  for (const step of [0, ...ULP_STEPS]) {
    // From each finite half towards the next larger one in magnitude; the largest has none.
    const between = Float32Array.from(floats, (v, i) =>
      !isFinite16(i) || (i & 0x7fff) === 0x7bff ? 0 : v + step * (floats[i + 1]! - v),
    );
    const packed = await overPairs(device, 'pack_halves', { x: new Uint32Array(between.buffer) }, { y: COUNT / 2 });
    const got = new Uint16Array(packed['y']!);
    const expected = float32ToFloat16(between);
    results.push(
      tally(step === 0 ? 'pack2x16float' : `pack2x16float + ${step} ulp`, COUNT, (i) => ({
        expected: expected[i]!,
        got: got[i]!,
        exact: step === 0,
        subnormalIn: false,
        of: `${between[i]}`,
      })),
    );
  }
  if (!device.capabilities.f16) return results;

  const b = float16ToFloat32(others);
  const made = await overPairs(
    device,
    'half_arithmetic',
    { a: words, b: new Uint32Array(others.buffer) },
    { floats: COUNT, sums: COUNT / 2, products: COUNT / 2 },
  );
  const converted = new Uint32Array(made['floats']!);
  results.push(
    tally('f32(f16)', COUNT, (i) => ({
      expected: i,
      got: asHalf(converted, i),
      exact: true,
      subnormalIn: isSubnormal(i),
      of: hex(i),
    })),
  );
  // f32 has more than twice the bits of f16 and two: rounding there first changes nothing (Figueroa
  // 1995).
  for (const [name, sign, of] of [
    ['sums', '+', (x: number, y: number) => x + y],
    ['products', '·', (x: number, y: number) => x * y],
  ] as const) {
    const got = new Uint16Array(made[name]!);
    const expected = float32ToFloat16(floats.map((v, i) => of(v, b[i]!)));
    results.push(
      tally(`f16 ${sign} f16`, COUNT, (i) => ({
        expected: expected[i]!,
        got: got[i]!,
        subnormalIn: isSubnormal(i) || isSubnormal(others[i]!),
        of: `${hex(i)} ${sign} ${hex(others[i]!)}`,
      })),
    );
  }
  return results;
}

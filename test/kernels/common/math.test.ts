// The processor's functions of four lanes against f64, in both builds: the errors that
// kernels/common/math.as.ts and activations.as.ts state, over all of their range and at its ends.
// Needs: no device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as reference from '../../../kernels/linear/reference.ts';
import { lanesOf } from '../lanes.ts';

const test = suite('math');
const builds = await lanesOf('math.as.ts', import.meta.url);

const POINTS = 1 << 17;
const LEAST = 2 ** -126; // the smallest normal number
const LARGEST = (2 - 2 ** -23) * 2 ** 127;

/** Evenly spaced from `from` to `to`. */
const evenly = (from: number, to: number): Float32Array =>
  Float32Array.from({ length: POINTS }, (_, i) => from + ((to - from) * i) / (POINTS - 1));

/** Of every magnitude alike: evenly spaced by their bits. */
const byBits = (from: number, to: number): Float32Array => {
  const [first, last] = new Int32Array(Float32Array.of(from, to).buffer) as unknown as [number, number];
  const bits = Int32Array.from({ length: POINTS }, (_, i) => Math.round(first + ((last - first) * i) / (POINTS - 1)));
  return new Float32Array(bits.buffer);
};

/** The distance of f32 numbers around `value`. */
const ulp = (value: number): number => 2 ** (Math.floor(Math.log2(Math.max(Math.abs(value), LEAST))) - 23);

/** Function `name` is off by at most `allowed` of what is expected at each of `values`. */
function within(
  name: string,
  values: Float32Array,
  formula: (x: number) => number,
  allowed: (expected: number, x: number) => number,
): void {
  for (const { build, run } of builds) {
    let [worst, at] = [0, 0];
    run(name, values).forEach((got, i) => {
      const expected = formula(values[i]!);
      const excess = Math.abs(got - expected) / allowed(expected, values[i]!);
      if (!(excess <= worst)) [worst, at] = [excess, values[i]!]; // NaN is worse
    });
    assert.ok(worst <= 1, `${build}: ${name}(${at}) is off by ${worst} of what is allowed`);
  }
}

/** Function `name` gives exactly these results. */
function gives(name: string, pairs: readonly (readonly [number, number])[]): void {
  for (const { build, run } of builds) {
    const got = run(
      name,
      Float32Array.from(pairs, ([x]) => x),
    );
    pairs.forEach(([x, expected], i) => assert.ok(Object.is(got[i], expected), `${build}: ${name}(${x}) is ${got[i]}`));
  }
}

test('exp is within 1 ulp up to where f32 ends, infinity from there, 0 below -86.99', () => {
  for (const values of [evenly(-86.98, 88.72283), evenly(-1, 1), byBits(2 ** -149, 88.72283), byBits(-1e-30, -86.98)])
    within('exp', values, Math.exp, ulp);
  // No finite result is missing, and none is a subnormal number, which some processors are slow at.
  for (const { run } of builds) {
    assert.ok(run('exp', Float32Array.of(88.72283))[0]! <= LARGEST);
    assert.ok(run('exp', evenly(-87.5, -86.9)).every((y) => y === 0 || y >= LEAST));
  }
  gives('exp', [
    [0, 1],
    [-0, 1],
    [88.7229, Infinity],
    [1e30, Infinity],
    [Infinity, Infinity],
    [-86.9901, 0],
    [-103, 0],
    [-1e30, 0],
    [-Infinity, 0],
    [NaN, NaN],
  ]);
});

test('log is within 1 ulp for all positive numbers, subnormal ones too', () => {
  for (const values of [byBits(2 ** -149, LARGEST), byBits(2 ** -149, LEAST), evenly(0.5, 2), byBits(0.99, 1.01)])
    within('log', values, Math.log, ulp);
  gives('log', [[1, 0]]);
  // Not meant for these, but it returns.
  for (const { run } of builds) assert.is(run('log', Float32Array.of(0, -0, -1, Infinity, NaN)).length, 5);
});

test('GELU is off by 1e-8 |x|, 10 roundings of the tail that it subtracts, and one of the result', () => {
  const allowed = (expected: number, x: number): number =>
    1e-8 * Math.abs(x) - 2 ** -24 * 10 * reference.gelu(-Math.abs(x)) + 2 ** -24 * Math.abs(expected) + 2 ** -149;
  for (const values of [evenly(-9, 9), evenly(-1, 1), byBits(2 ** -149, 1e30), byBits(-(2 ** -149), -1e30)])
    within('gelu', values, reference.gelu, allowed);
  gives('gelu', [
    [0, 0],
    [-0, -0],
    [30, 30],
    [2 ** 127, 2 ** 127],
    [Infinity, Infinity],
    [NaN, NaN],
  ]);
});

test('sigmoid is within 3 ulp', () => {
  within(
    'sigmoid',
    evenly(-86.9, 90),
    (x) => 1 / (1 + Math.exp(-x)),
    (y) => 3 * ulp(y),
  );
  gives('sigmoid', [
    [0, 0.5],
    [-Infinity, 0],
    [-1e30, 0],
    [1e30, 1],
    [Infinity, 1],
    [NaN, NaN],
  ]);
});

test('tanh is off by a few units of 2^-24, ELU within 1 ulp, which near 0 is much less', () => {
  for (const values of [evenly(-12, 12), evenly(-0.5, 0.5), byBits(2 ** -149, 1e30), byBits(-(2 ** -149), -1e30)]) {
    within('tanh', values, Math.tanh, () => 4 * 2 ** -24);
    within('elu', values, (x) => (x > 0 ? x : Math.expm1(x)), ulp);
  }
  for (const [name, least] of [
    ['tanh', -1],
    ['elu', -1],
  ] as const)
    gives(name, [
      [0, 0],
      [-1e30, least],
      [-Infinity, least],
      [NaN, NaN],
    ]);
});

test.run();

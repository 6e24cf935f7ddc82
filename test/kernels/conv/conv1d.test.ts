// conv1d against plain loops, in every form there is: reflected padding where the input is shorter
// than it, strides, dilations, odd channels, ELU in front, bias, residual and ELU behind, slices of
// time.
// Needs: a device, on processors, default, portable and swiftshader.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ShapeError } from '../../../runtime/base/errors.ts';
import { variantsOf, type Choices } from '../../../kernels/common/choices.ts';
import {
  conv1d,
  conv1dPadding,
  packConv1d,
  columnsShape,
  ordered,
  padTo4,
  type Conv1d,
  type Conv1dOptions,
} from '../../../kernels/conv/conv1d.ts';
import { record } from '../../../runtime/compute/program.ts';
import { elements, type Tensor } from '../../../runtime/compute/tensor.ts';
import { assertClose } from '../../assert_close.ts';
import { testDevice } from '../../device.ts';
import { randomFloats } from '../../random.ts';
import * as reference from '../../../kernels/conv/reference.ts';

const test = suite('conv1d');
const device = await testDevice();
const variants = variantsOf(device).filter((variant): variant is Choices['conv'] => variant !== 'subgroup_matrix');
const TOLERANCE = { rtol: 2e-5, atol: 2e-5 };

function upload(shape: number[], data: Float32Array): Tensor {
  const t = device.createTensor(shape, 'f32', 'test');
  device.write(t, data);
  return t;
}

type Shape = reference.ConvShape & { bias?: boolean; residual?: boolean; activate?: boolean };

function arrays(shape: Shape) {
  const { batch, frames, inChannels, outChannels, kernelSize } = shape;
  const weight = randomFloats(outChannels * inChannels * kernelSize, 2, 1 / Math.sqrt(inChannels * kernelSize));
  const bias = shape.bias === false ? null : randomFloats(outChannels, 3);
  const conv: Conv1d = {
    weight: upload(
      columnsShape(kernelSize * inChannels, outChannels, device.kind),
      packConv1d(weight, outChannels, inChannels, kernelSize, device.kind),
    ),
    bias: bias && upload([outChannels], bias),
    inChannels,
    outChannels,
    kernelSize,
    stride: shape.stride,
    dilation: shape.dilation ?? 1,
  };
  return { x: randomFloats(batch * frames * inChannels, 1, 2), weight, bias, conv };
}

/** y starts as 0.5 everywhere. */
async function run(
  conv: Conv1d,
  x: Float32Array,
  shape: Shape,
  yFrames: number,
  options: Conv1dOptions,
): Promise<Float32Array> {
  const { batch, frames, inChannels, outChannels } = shape;
  const input = upload([batch, frames, inChannels], x);
  const y = upload([batch, yFrames, outChannels], new Float32Array(batch * yFrames * outChannels).fill(0.5));
  const program = await record(device, (r) => conv1d(r, y, input, conv, options), { label: 'conv1d test' });
  program.run();
  const result = await device.readFloat32(y);
  program.dispose();
  for (const t of [input, y]) device.destroyBuffer(t.buffer);
  return result;
}

async function compare(shape: Shape): Promise<void> {
  const { x, weight, bias, conv } = arrays(shape);
  const expected = reference.conv1d(x, weight, bias, shape);
  const { elu = false, causal = true, residual = false, activate = false } = shape;
  const wanted = expected.data.map((v) => v + (residual ? 0.5 : 0)).map((v) => (activate ? reference.elu(v) : v));
  for (const variant of variants) {
    assertClose(
      await run(conv, x, shape, expected.frames, { elu, causal, residual, activate, variant }),
      wanted,
      TOLERANCE,
      JSON.stringify({ variant, ...shape }),
    );
  }
  free(conv);
}

const free = ({ weight, bias }: Conv1d): void => [weight, bias].forEach((t) => t && device.destroyBuffer(t.buffer));

test('inputs shorter and longer than the padding', async () => {
  for (const frames of [1, 2, 3, 4, 5, 6, 7, 8, 70]) {
    for (const inChannels of [6, 8])
      await compare({ batch: 2, frames, inChannels, outChannels: 12, kernelSize: 7, stride: 1 });
    await compare({ batch: 2, frames, inChannels: 8, outChannels: 2, kernelSize: 7, stride: 1 });
  }
});

test('padding on both sides', async () => {
  for (const frames of [1, 2, 3, 4, 5, 65]) {
    await compare({ batch: 1, frames, inChannels: 5, outChannels: 10, kernelSize: 7, stride: 1, causal: false });
    for (const outChannels of [4, 6, 8])
      await compare({ batch: 1, frames, inChannels: 4, outChannels, kernelSize: 4, stride: 1, causal: false });
  }
});

test('dilation, with inputs shorter than it', async () => {
  for (const frames of [1, 2, 3, 4, 5, 7, 19]) {
    await compare({ batch: 1, frames, inChannels: 3, outChannels: 8, kernelSize: 3, stride: 1, dilation: 2 });
    for (const outChannels of [5, 16])
      await compare({ batch: 1, frames, inChannels: 8, outChannels, kernelSize: 3, stride: 1, dilation: 9, elu: true });
  }
});

test('strides, where the last window is filled up on the right', async () => {
  for (const stride of [2, 4, 5, 8]) {
    for (const frames of [1, 3, stride, 2 * stride + 1, 41]) {
      await compare({ batch: 2, frames, inChannels: 5, outChannels: 7, kernelSize: 2 * stride, stride });
      for (const outChannels of [7, 8])
        await compare({ batch: 1, frames, inChannels: 4, outChannels, kernelSize: 2 * stride, stride, causal: false });
    }
  }
});

test('channels that fill no vec4 and no tile', async () => {
  for (const [inChannels, outChannels] of [
    [1, 1],
    [1, 6],
    [6, 1],
    [5, 3],
    [10, 4],
    [12, 5],
    [16, 65],
    [48, 130],
    [63, 64],
    [4, 36],
    [64, 32],
    [128, 72],
    [64, 1],
    [12, 3],
  ] as const) {
    for (const frames of [67, 130])
      await compare({ batch: 1, frames, inChannels, outChannels, kernelSize: 3, stride: 1, elu: true });
    await compare({ batch: 3, frames: 9, inChannels, outChannels, kernelSize: 1, stride: 1, bias: false });
  }
});

test('ELU in front and behind, bias and residual in every combination', async () => {
  for (const outChannels of [1, 9, 12]) {
    for (let bits = 0; bits < 16; bits++) {
      await compare({
        batch: 2,
        frames: 5,
        inChannels: 12,
        outChannels,
        kernelSize: 3,
        stride: 1,
        elu: (bits & 1) > 0,
        bias: (bits & 2) > 0,
        residual: (bits & 4) > 0,
        activate: (bits & 8) > 0,
      });
    }
  }
});

test('a depth of thousands', async () => {
  await compare({ batch: 1, frames: 4, inChannels: 512, outChannels: 7, kernelSize: 7, stride: 1 });
  await compare({ batch: 1, frames: 4, inChannels: 512, outChannels: 8, kernelSize: 7, stride: 1 });
});

test('a slice of the input, written into a part of the output', async () => {
  for (const [inChannels, outChannels] of [
    [6, 2],
    [8, 2],
    [6, 9],
    [8, 12],
  ] as const) {
    const shape: Shape = { batch: 2, frames: 20, inChannels, outChannels, kernelSize: 3, stride: 1 };
    const { x, weight, bias, conv } = arrays(shape);
    const slice = { start: 7, count: 9 };
    const width = shape.inChannels;
    const seen = [0, 1].flatMap((b) => [
      ...x.subarray((b * 20 + slice.start) * width, (b * 20 + slice.start + slice.count) * width),
    ]);
    const whole = reference.conv1d(seen, weight, bias, { ...shape, frames: slice.count }).data;
    const expected = new Float64Array(2 * 12 * outChannels).fill(0.5);
    for (let b = 0; b < 2; b++)
      expected.set(
        whole.subarray((b * 9 + 2) * outChannels, (b * 9 + 2 + 5) * outChannels),
        (b * 12 + 4) * outChannels,
      );
    for (const variant of variants) {
      const actual = await run(conv, x, shape, 12, { from: slice, into: { skip: 2, start: 4, count: 5 }, variant });
      assertClose(actual, expected, TOLERANCE, `${inChannels} to ${outChannels} channels, ${variant}`);
    }
    free(conv);
  }
});

test('ELU keeps what is positive and bends what is negative, at any size', async () => {
  const values = Float32Array.of(-200, -88, -20, -1, -1e-3, -1e-8, 0, 1e-8, 0.5, 3, 1e30, -1e30);
  const want = Array.from(values, reference.elu);
  for (const [inChannels, outChannels] of [
    [1, 1],
    [1, 5],
    [4, 1],
    [4, 8],
  ] as const) {
    const weight = new Float32Array(inChannels * padTo4(outChannels));
    weight[0] = 1; // the first channel of x is the first of y
    const x = new Float32Array(values.length * inChannels);
    values.forEach((v, i) => (x[i * inChannels] = v));
    const shape: Shape = { batch: 1, frames: values.length, inChannels, outChannels, kernelSize: 1, stride: 1 };
    const conv: Conv1d = {
      weight: upload(
        columnsShape(inChannels, outChannels, device.kind),
        ordered(weight, inChannels, outChannels, device.kind),
      ),
      bias: null,
      inChannels,
      outChannels,
      kernelSize: 1,
      stride: 1,
      dilation: 1,
    };
    for (const variant of variants) {
      for (const options of [{ elu: true }, { activate: true }]) {
        const y = await run(conv, x, shape, values.length, { ...options, variant });
        assertClose(
          want.map((_, i) => y[i * outChannels]!),
          want,
          { rtol: 1e-6, atol: 2e-7 },
          JSON.stringify({ inChannels, outChannels, variant, ...options }),
        );
      }
    }
    free(conv);
  }
});

test('shapes that do not fit are named', async () => {
  const { conv } = arrays({ batch: 1, frames: 5, inChannels: 6, outChannels: 9, kernelSize: 3, stride: 1 });
  const refuse = (yShape: number[], xShape: number[], pattern: RegExp, options?: Conv1dOptions) => {
    const y = upload(yShape, new Float32Array(elements(yShape)));
    const x = upload(xShape, new Float32Array(elements(xShape)));
    return record(device, (r) => conv1d(r, y, x, conv, options), { label: 'conv1d test' }).then(
      () => assert.unreachable(`y (${yShape}), x (${xShape})`),
      (error: Error) => (assert.instance(error, ShapeError), assert.match(error.message, pattern)),
    );
  };
  await refuse([1, 5, 9], [1, 5, 7], /x .* \(1, 5, 7\), expected \(\*, \*, 6\)/);
  await refuse([1, 4, 9], [1, 5, 6], /has 4 frames, expected 5/);
  await refuse([2, 5, 9], [1, 5, 6], /y .* expected \(1, \*, 9\)/);
  await refuse([1, 5, 9], [1, 5, 6], /expected some of its 5/, { from: { start: 3, count: 3 } });
  assert.throws(() => conv1dPadding(5, { kernelSize: 3, stride: 4, dilation: 1 }), /a kernel as long as its stride/);
});

test.run();

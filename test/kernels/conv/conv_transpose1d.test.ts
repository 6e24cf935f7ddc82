// convTranspose1d against plain loops, in every form there is: every trimming, kernels that are no
// multiple of the stride, odd channels, ELU in front and behind.
// Needs: a device, on processors, default, portable and swiftshader.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { variantsOf } from '../../../kernels/common/choices.ts';
import {
  convTranspose1d,
  convTranspose1dDepth,
  convTranspose1dTrim,
  packConvTranspose1d,
  packConvTranspose1dBias,
} from '../../../kernels/conv/conv_transpose1d.ts';
import { columnsShape } from '../../../kernels/conv/conv1d.ts';
import { record } from '../../../runtime/compute/program.ts';
import type { Tensor } from '../../../runtime/compute/tensor.ts';
import { assertClose } from '../../assert_close.ts';
import { testDevice } from '../../device.ts';
import { randomFloats } from '../../random.ts';
import * as reference from '../../../kernels/conv/reference.ts';

const test = suite('convTranspose1d');
const device = await testDevice();

function upload(shape: number[], data: Float32Array): Tensor {
  const t = device.createTensor(shape, 'f32', 'test');
  device.write(t, data);
  return t;
}

type Shape = Omit<reference.ConvShape, 'dilation'> & { trimRightRatio?: number; bias?: boolean; activate?: boolean };

async function compare(shape: Shape, from?: { start: number; count: number }): Promise<void> {
  const { batch, frames, inChannels, outChannels, kernelSize, stride, causal = true, trimRightRatio = 1 } = shape;
  const x = randomFloats(batch * frames * inChannels, 1, 2);
  const weight = randomFloats(outChannels * inChannels * kernelSize, 2, 1 / Math.sqrt(2 * inChannels));
  const bias = shape.bias === false ? null : randomFloats(outChannels, 3);
  const sizes = {
    inChannels,
    outChannels,
    kernelSize,
    stride,
    trimLeft: convTranspose1dTrim(kernelSize, stride, causal, trimRightRatio),
  };
  const conv = {
    ...sizes,
    weight: upload(
      columnsShape(convTranspose1dDepth(sizes), stride * outChannels, device.kind),
      packConvTranspose1d(weight, sizes, device.kind),
    ),
    bias: bias && upload([stride * outChannels], packConvTranspose1dBias(bias, stride)),
  };
  const count = from?.count ?? frames;
  const seen = from
    ? Array.from({ length: batch }, (_, b) => [
        ...x.subarray((b * frames + from.start) * inChannels, (b * frames + from.start + count) * inChannels),
      ]).flat()
    : x;
  const input = upload([batch, frames, inChannels], x);
  const y = device.createTensor([batch, count * stride, outChannels], 'f32', 'test');
  const { elu = false, activate = false } = shape;
  const expected = reference
    .convTranspose1d(seen, weight, bias, { ...shape, frames: count })
    .map((v) => (activate ? reference.elu(v) : v));
  for (const variant of variantsOf(device)) {
    if (variant === 'subgroup_matrix') continue;
    const program = await record(
      device,
      (r) => convTranspose1d(r, y, input, conv, { elu, activate, variant, ...(from && { from }) }),
      { label: 'convTranspose1d test' },
    );
    program.run();
    const actual = await device.readFloat32(y);
    program.dispose();
    assertClose(actual, expected, { rtol: 2e-5, atol: 2e-5 }, JSON.stringify({ variant, ...shape }));
  }
  for (const t of [input, y, conv.weight, conv.bias]) if (t) device.destroyBuffer(t.buffer);
}

test('kernels of twice the stride, as EnCodec has them', async () => {
  for (const stride of [1, 2, 3, 4, 5, 8]) {
    for (const frames of [1, 2, 3, 66])
      await compare({ batch: 2, frames, inChannels: 12, outChannels: 6, kernelSize: 2 * stride, stride, elu: true });
    await compare({
      batch: 2,
      frames: 67,
      inChannels: 16,
      outChannels: 8,
      kernelSize: 2 * stride,
      stride,
      activate: true,
    });
  }
});

test('kernels of any other length', async () => {
  for (const [kernelSize, stride] of [
    [1, 1],
    [3, 3],
    [5, 2],
    [7, 3],
    [9, 2],
    [4, 3],
    [3, 1],
  ] as const) {
    for (const frames of [1, 2, 7])
      await compare({ batch: 1, frames, inChannels: 5, outChannels: 3, kernelSize, stride });
    await compare({ batch: 1, frames: 7, inChannels: 8, outChannels: 4, kernelSize, stride, elu: true });
  }
});

test('trimming on the left, on the right and on both sides', async () => {
  for (const [kernelSize, stride] of [
    [8, 4],
    [10, 5],
    [4, 2],
    [7, 3],
    [9, 2],
  ] as const) {
    for (const trimRightRatio of [0, 0.25, 0.5, 0.9, 1]) {
      for (const frames of [1, 4])
        await compare({ batch: 1, frames, inChannels: 6, outChannels: 5, kernelSize, stride, trimRightRatio });
      await compare({ batch: 1, frames: 4, inChannels: 4, outChannels: 4, kernelSize, stride, trimRightRatio });
    }
    await compare({ batch: 2, frames: 5, inChannels: 6, outChannels: 5, kernelSize, stride, causal: false });
  }
});

test('channels that fill no vec4 and no tile', async () => {
  for (const [inChannels, outChannels] of [
    [1, 1],
    [10, 5],
    [20, 10],
    [6, 3],
    [96, 48],
    [130, 65],
  ] as const) {
    await compare({ batch: 1, frames: 9, inChannels, outChannels, kernelSize: 4, stride: 2 });
    await compare({ batch: 1, frames: 65, inChannels, outChannels, kernelSize: 6, stride: 3, bias: false });
  }
});

test('a slice of the input', async () => {
  for (const inChannels of [6, 8])
    await compare(
      { batch: 2, frames: 12, inChannels, outChannels: 4, kernelSize: 6, stride: 3, elu: true },
      { start: 5, count: 4 },
    );
  await compare(
    { batch: 2, frames: 12, inChannels: 6, outChannels: 4, kernelSize: 6, stride: 3, causal: false },
    { start: 8, count: 4 },
  );
});

test('a kernel shorter than its stride is refused', () => {
  assert.throws(() => convTranspose1dTrim(2, 3), /a kernel as long as its stride/);
});

test.run();

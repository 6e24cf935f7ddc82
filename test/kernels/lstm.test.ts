// lstm against plain loops: hidden sizes that fill no vec4 and no workgroup, one layer to three, the skip, walks of several dispatches,
// and gates so far out that a careless tanh or exp overflows.

import { suite } from 'uvu';
import { lstm, packLstm, type LstmLayer } from '../../kernels/lstm.ts';
import { record } from '../../runtime/program.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { assertClose } from '../assert_close.ts';
import { testDevice } from '../device.ts';
import { randomFloats } from '../random.ts';
import * as reference from '../reference.ts';

const test = suite('lstm');
const device = await testDevice();

function upload(shape: number[], data: Float32Array): Tensor {
  const t = device.createTensor(shape, 'f32', 'test');
  device.write(t, data);
  return t;
}

interface Case { batch: number; frames: number; size: number; layers: number; skip?: boolean; scale?: number }

async function compare({ batch, frames, size, layers, skip = false, scale = 1 }: Case): Promise<void> {
  const x = randomFloats(batch * frames * size, 1, 2);
  const weights = Array.from({ length: layers }, (_, n) => ({
    weightIh: randomFloats(4 * size * size, 10 * n + 2, scale / Math.sqrt(size)),
    weightHh: randomFloats(4 * size * size, 10 * n + 3, 1.5 / Math.sqrt(size)),
    biasIh: randomFloats(4 * size, 10 * n + 4, 0.5 * scale),
    biasHh: randomFloats(4 * size, 10 * n + 5, 0.5),
  }));
  let expected: ArrayLike<number> = x;
  for (const w of weights) expected = reference.lstm(expected, w, batch, frames, size);

  const packed = weights.map((w): LstmLayer => {
    const { input, hidden, bias } = packLstm(size, w.weightIh, w.weightHh, w.biasIh, w.biasHh);
    return { input: upload([size, 4 * size], input), hidden: upload([hidden.length / (4 * size), 4 * size], hidden), bias: upload([4 * size], bias) };
  });
  const input = upload([batch, frames, size], x);
  const y = device.createTensor([batch, frames, size], 'f32', 'test');
  const program = await record(device, (r) => lstm(r, y, input, packed, { skip }), { label: 'lstm test' });
  program.run();
  program.run(); // nothing may be left from the first run
  const actual = await device.readFloat32(y);
  program.dispose();
  for (const t of [input, y, ...packed.flatMap((p) => Object.values(p) as Tensor[])]) device.destroyBuffer(t.buffer);
  const label = JSON.stringify({ batch, frames, size, layers, skip, scale });
  assertClose(actual, Array.from(expected, (v, i) => v + (skip ? x[i]! : 0)), { rtol: 1e-5, atol: 1e-5 }, label);
}

test('hidden sizes from 1 on', async () => {
  for (const size of [1, 3, 10, 24, 192]) await compare({ batch: 2, frames: 7, size, layers: 1 });
});

test('more units than threads', async () => {
  await compare({ batch: 1, frames: 2, size: 1030, layers: 1 });
});

test('layers and the skip around all of them', async () => {
  for (const layers of [1, 2, 3]) {
    for (const skip of [false, true]) await compare({ batch: 2, frames: 6, size: 12, layers, skip });
  }
});

test('clip lengths from one step on, and over several dispatches', async () => {
  for (const frames of [1, 2, 256, 257]) await compare({ batch: 2, frames, size: 10, layers: 2, skip: true });
  await compare({ batch: 1, frames: 520, size: 6, layers: 1 });
});

test('gates far from zero', async () => {
  await compare({ batch: 1, frames: 9, size: 16, layers: 1, scale: 300 });
});

test.run();

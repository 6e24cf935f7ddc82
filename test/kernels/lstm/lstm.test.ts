// lstm against plain loops: hidden sizes that fill no vec4 and no workgroup, one layer to four, the
// skip and ELU behind it, batches, clips from one step on, scratch memory that holds NaN, and gates
// so far out that a careless tanh or exp overflows.
// Needs: a device, on processors, default, portable and swiftshader.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { columnsShape } from '../../../kernels/conv/conv1d.ts';
import { lstm, packLstm, recurrentLength } from '../../../kernels/lstm/lstm.ts';
import { Arena } from '../../../runtime/compute/arena.ts';
import { record } from '../../../runtime/compute/program.ts';
import type { Tensor } from '../../../runtime/compute/tensor.ts';
import { assertClose } from '../../assert_close.ts';
import { testDevice } from '../../device.ts';
import { randomFloats } from '../../random.ts';
import { elu } from '../../../kernels/conv/reference.ts';
import * as reference from '../../../kernels/lstm/reference.ts';

const test = suite('lstm');
const device = await testDevice();

function upload(shape: number[], data: Float32Array): Tensor {
  const t = device.createTensor(shape, 'f32', 'test');
  device.write(t, data);
  return t;
}

interface Case {
  batch: number;
  frames: number;
  size: number;
  layers: number;
  skip?: boolean;
  activate?: boolean;
  scale?: number;
}

async function compare({
  batch,
  frames,
  size,
  layers,
  skip = false,
  activate = false,
  scale = 1,
}: Case): Promise<void> {
  const x = randomFloats(batch * frames * size, 1, 2);
  const weights = Array.from({ length: layers }, (_, n) => ({
    weightIh: randomFloats(4 * size * size, 10 * n + 2, scale / Math.sqrt(size)),
    weightHh: randomFloats(4 * size * size, 10 * n + 3, 1.5 / Math.sqrt(size)),
    biasIh: randomFloats(4 * size, 10 * n + 4, 0.5 * scale),
    biasHh: randomFloats(4 * size, 10 * n + 5, 0.5),
  }));
  let expected: ArrayLike<number> = x;
  for (const w of weights) expected = reference.lstm(expected, w, batch, frames, size);

  const packed = packLstm(size, weights, device.kind);
  const w = {
    size,
    layers,
    input: upload(columnsShape(size, 4 * size, device.kind), packed.input),
    bias: upload([4 * size], packed.bias),
    recurrent: upload([packed.recurrent.length], packed.recurrent),
  };
  const input = upload([batch, frames, size], x);
  const y = device.createTensor([batch, frames, size], 'f32', 'test');
  const arena = new Arena(device, 'lstm test');
  const dirty = Array.from({ length: 4 }, (_, i) =>
    arena.take([batch * Math.max(frames, layers) * 4 * size + 16 + i], 'f32', 'dirty'),
  );
  for (const t of dirty) {
    device.write(t, new Float32Array(t.shape[0]!).fill(NaN));
    arena.give(t);
  }
  const program = await record(device, (r) => lstm(r, y, input, w, { skip, activate }), { label: 'lstm test', arena });
  program.run();
  program.run(); // nothing may be left from the first run
  const actual = await device.readFloat32(y);
  program.dispose();
  arena.dispose();
  for (const t of [input, y, w.input, w.bias, w.recurrent]) device.destroyBuffer(t.buffer);
  const label = JSON.stringify({ batch, frames, size, layers, skip, activate, scale });
  const behind = (v: number): number => (activate ? elu(v) : v);
  assertClose(
    actual,
    Array.from(expected, (v, i) => behind(v + (skip ? x[i]! : 0))),
    { rtol: 1e-5, atol: 1e-5 },
    label,
  );
}

test('hidden sizes from 1 on', async () => {
  for (const size of [1, 3, 10, 24, 192]) await compare({ batch: 2, frames: 7, size, layers: 1 });
});

test('more units than threads', async () => {
  await compare({ batch: 1, frames: 2, size: 1030, layers: 1 });
});

test('layers, the skip around all of them, and ELU behind it', async () => {
  for (const layers of [1, 2, 3, 4]) {
    for (const skip of [false, true])
      await compare({ batch: 2, frames: 6, size: 12, layers, skip, activate: layers > 1 });
  }
});

test('clip lengths from one step on, shorter than there are layers, odd and even', async () => {
  for (const frames of [1, 2, 3, 256, 257]) await compare({ batch: 1, frames, size: 10, layers: 3, skip: true });
});

test('batches', async () => {
  for (const batch of [3, 5]) await compare({ batch, frames: 5, size: 9, layers: 2, skip: true });
});

test('a dispatch for each step and one for each further layer, with three bind groups', async () => {
  const size = 8;
  const zeros = (n: number) => upload([n], new Float32Array(n));
  const w = {
    size,
    layers: 2,
    input: upload(columnsShape(size, 4 * size, device.kind), new Float32Array(4 * size * size)),
    bias: zeros(4 * size),
    recurrent: zeros(recurrentLength(size, 2, device.kind)),
  };
  const [x, y] = [
    upload([1, 40, size], new Float32Array(40 * size)),
    upload([1, 40, size], new Float32Array(40 * size)),
  ];
  const before = device.counters.bindGroups;
  const program = await record(device, (r) => lstm(r, y, x, w), { label: 'lstm test' });
  assert.is(device.counters.bindGroups - before, 1 + 3); // the first is the projection's
  assert.is(program.dispatches, 1 + 41);
  program.dispose();
  for (const t of [x, y, w.input, w.bias, w.recurrent]) device.destroyBuffer(t.buffer);
});

test('gates far from zero', async () => {
  await compare({ batch: 1, frames: 9, size: 16, layers: 1, scale: 300 });
});

test.run();

// codebookSum against plain loops, with more books in the table than in the codes.
// Needs: a device, on processors, default, portable and swiftshader.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { codebookSum } from '../../../kernels/codebook_sum/codebook_sum.ts';
import { record } from '../../../runtime/compute/program.ts';
import { assertClose } from '../../assert_close.ts';
import { testDevice } from '../../device.ts';
import { randomFloats, uniform } from '../../random.ts';
import * as reference from '../../../kernels/codebook_sum/reference.ts';

const test = suite('codebookSum');
const device = await testDevice();

async function run(batch: number, codebooks: number, frames: number, size: number, width: number, stored: number) {
  const next = uniform(frames);
  const codes = Int32Array.from({ length: batch * codebooks * frames }, () => Math.floor(next() * size));
  const table = randomFloats(stored * size * width, 5);
  const codesT = device.createTensor([batch, codebooks, frames], 'u32', 'test');
  const tableT = device.createTensor([stored, size, width], 'f32', 'test');
  const y = device.createTensor([batch, frames, width], 'f32', 'test');
  device.write(codesT, codes);
  device.write(tableT, table);
  try {
    const program = await record(device, (r) => codebookSum(r, y, codesT, tableT), { label: 'codebookSum test' });
    program.run();
    assertClose(
      await device.readFloat32(y),
      reference.codebookSum(codes, table, batch, codebooks, frames, size, width),
      { rtol: 1e-6, atol: 1e-6 },
    );
    program.dispose();
  } finally {
    for (const t of [codesT, tableT, y]) device.destroyBuffer(t.buffer);
  }
}

test('batches, lengths, and widths that fill no workgroup', async () => {
  for (const [batch, codebooks, frames, size, width, stored] of [
    [1, 8, 1, 64, 16, 8],
    [2, 8, 9, 256, 48, 8],
    [3, 1, 7, 5, 3, 2],
    [1, 4, 75, 33, 130, 8],
    [2, 2, 13, 1, 1, 2],
  ] as const) {
    await run(batch, codebooks, frames, size, width, stored);
  }
});

test('more codebooks than there are is refused', async () => {
  await run(1, 3, 4, 8, 8, 2).then(
    () => assert.unreachable(),
    (error: Error) => assert.match(error.message, /3 codebooks, expected at most the 2/),
  );
});

test.run();

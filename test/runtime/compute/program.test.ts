// Programs, the arena and the ledger with small shaders of their own: what is counted, what is
// shared, what is refused, and how errors arrive.
// Needs: a device, on default, portable and swiftshader.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Arena } from '../../../runtime/compute/arena.ts';
import type { Counters } from '../../../runtime/compute/ledger.ts';
import { record, type Recorder } from '../../../runtime/compute/program.ts';
import type { Tensor } from '../../../runtime/compute/tensor.ts';
import { testDevice } from '../../device.ts';
import { download, filled, free, upload } from '../../kernels/tensors.ts';
import { AXPY, axpy } from './axpy.ts';
import type { Shader } from '../../../runtime/compute/shader.ts';

const test = suite('program');

/** A shader that no other test has compiled on this process's device: its pipelines are counted. */
const COUNTED: Shader = { ...AXPY, name: 'test axpy, counted' };

const device = await testDevice();

/** What the counters gained in `body`. */
async function counted(body: () => Promise<void> | void): Promise<Partial<Counters>> {
  const before = { ...device.counters };
  await body();
  const gained = Object.entries(device.counters).map(
    ([key, value]) => [key, value - before[key as keyof Counters]] as const,
  );
  return Object.fromEntries(gained.filter(([, value]) => value !== 0));
}

test('recording makes all there is to make, running only encodes, and both are counted to the one', async () => {
  const [x, y] = [await upload(filled(8, 2), [8]), await upload(filled(8, 1), [8])];
  let program!: Awaited<ReturnType<typeof record>>;
  const made = await counted(async () => {
    program = await record(
      device,
      (r) => {
        const t = r.temp([8], 'sum');
        axpy(r, y, x, 3, { shader: COUNTED });
        axpy(r, y, x, 0.5, { add: 1, shader: COUNTED });
        axpy(r, y, x, 1, { sign: -1, shader: COUNTED });
        r.free(t);
      },
      { label: 'three' },
    );
  });
  assert.equal(made, { bindGroups: 3, pipelines: 2, buffers: 2, bufferBytes: 3 * 256 + 32 });
  assert.is(program.dispatches, 3);
  assert.equal(await counted(() => program.run()), { dispatches: 3, passes: 1, submits: 1 });
  assert.equal(await counted(() => program.run(4)), { dispatches: 12, passes: 1, submits: 1 });
  // 1 + (6 + 2 − 2) for each of five runs: params keep apart, dispatches keep their order
  assert.equal(await download(y), filled(8, 1 + 5 * (6 + 2 - 2)));
  const again = await counted(async () =>
    (await record(device, (r) => axpy(r, y, x, 3, { shader: COUNTED }), { label: 'again' })).dispose(),
  );
  assert.equal(again, { bindGroups: 1, buffers: 1, bufferBytes: 256 });
  program.dispose();
  await free(x, y);
});

test('what is repeated is made once and encoded as often as asked, in order, and rounds may hold rounds', async () => {
  const [x, y, z] = [await upload(filled(4, 1), [4]), await upload(filled(4, 0), [4]), await upload(filled(4, 0), [4])];
  let program!: Awaited<ReturnType<typeof record>>;
  // Compiles the pipeline, which another file of this process may have done already.
  (await record(device, (r) => axpy(r, y, x, 1), { label: 'before' })).dispose();
  const made = await counted(async () => {
    program = await record(
      device,
      (r) => {
        axpy(r, y, x, 1);
        r.repeat(3, () => {
          axpy(r, z, y, 1); // z += y
          axpy(r, y, z, 1); // y += z
        });
        r.repeat(0, () => axpy(r, y, x, 1000));
        r.repeat(2, () => {
          r.repeat(2, () => axpy(r, y, x, 1));
          axpy(r, y, z, 0, { add: 2 }); // y += 2
        });
      },
      { label: 'rounds' },
    );
  });
  assert.equal(made, { bindGroups: 1 + 2 + 1 + 2, buffers: 1, bufferBytes: 6 * 256 });
  assert.is(program.dispatches, 1 + 3 * 2 + 2 * (2 + 1));
  assert.equal(await counted(() => program.run()), { dispatches: 13, passes: 1, submits: 1 });
  // Fibonacci: z, y = 1, 2; 3, 5; 8, 13
  assert.equal(await download(z), filled(4, 8));
  assert.equal(await download(y), filled(4, 13 + 2 * (2 + 2)));
  program.dispose();
  await free(x, y, z);
});

test('two programs share a submit, and reads and writes are counted', async () => {
  const [x, y] = [await upload(filled(4, 2), [4]), await upload(filled(4, 0), [4])];
  const a = await record(device, (r) => axpy(r, y, x, 1), { label: 'a' });
  const b = await record(device, (r) => axpy(r, y, x, 10), { label: 'b' });
  await download(y); // makes the staging buffer, if there is none
  const gained = await counted(async () => {
    const commands = device.commands('two');
    a.encode(commands);
    b.encode(commands, 2);
    commands.submit();
    device.write(x, filled(4, 100));
    assert.equal(await download(y), filled(4, 42));
  });
  assert.equal(gained, { dispatches: 3, passes: 2, submits: 2, uploads: 1, uploadBytes: 16, readbacks: 1 });
  for (const p of [a, b]) p.dispose();
  await free(x, y);
});

test('activations take the place of freed ones and never of live ones', async () => {
  const arena = new Arena(device, 'test.arena');
  const taken: Tensor[] = [];
  const body = (r: Recorder): void => {
    const a = r.temp([100], 'a');
    const b = r.temp([50], 'b');
    assert.is.not(a.buffer, b.buffer);
    r.free(b);
    const c = r.temp([60], 'c'); // does not fit where b was
    assert.not([a.buffer, b.buffer].includes(c.buffer));
    r.free(a);
    r.free(a); // twice is once
    const d = r.temp([40], 'd'); // the smallest that fits: b
    const e = r.temp([99], 'e', 'u32');
    assert.is(d.buffer, b.buffer);
    assert.is(e.buffer, a.buffer);
    const f = r.temp([1], 'f', 'f16');
    assert.not([a.buffer, b.buffer, c.buffer].includes(f.buffer));
    taken.push(a, b, c, f);
  };
  const first = await record(device, body, { label: 'first', arena });
  const held = device.memory().owners['test.arena']!.current;
  assert.is(held, 400 + 208 + 240 + 16);
  const second = await record(device, body, { label: 'second', arena }); // programs of a stage lie in the same place
  assert.is(device.memory().owners['test.arena']!.current, held);
  assert.equal(
    taken
      .slice(4)
      .map((t) => t.buffer.label)
      .sort(),
    taken
      .slice(0, 4)
      .map((t) => t.buffer.label)
      .sort(),
  );
  first.dispose();
  second.dispose();
  assert.is(device.memory().owners['test.arena']!.current, held); // the arena's owner frees it
  arena.dispose();
  assert.is(device.memory().owners['test.arena']!.current, 0);
});

test('a freed activation of someone else is left alone', async () => {
  const [x, y] = [await upload(filled(4), [4]), await upload(filled(4), [4])];
  const program = await record(
    device,
    (r) => {
      r.free(x, y);
      const t = r.temp([4], 't');
      assert.not([x.buffer, y.buffer].includes(t.buffer));
    },
    { label: 'alien' },
  );
  assert.is(program.dispatches, 0);
  program.run();
  program.dispose();
  await free(x, y);
});

test.run();

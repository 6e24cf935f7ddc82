// Programs, the arena and the ledger with small shaders of their own: what is counted, what is
// shared, what is refused, and how errors arrive.
// Needs: a GPU, on default, portable and swiftshader.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Arena } from '../../../runtime/compute/arena.ts';
import { Device, type Counters } from '../../../runtime/compute/device.ts';
import { ShapeError, UnsupportedError } from '../../../runtime/base/errors.ts';
import { record, type Recorder } from '../../../runtime/compute/program.ts';
import type { Shader } from '../../../runtime/compute/shader.ts';
import type { Tensor } from '../../../runtime/compute/tensor.ts';
import { testDevice } from '../../device.ts';
import { download, filled, free, upload } from '../../kernels/tensors.ts';

const test = suite('program');
const device = await testDevice();

const AXPY: Shader = {
  name: 'test axpy',
  code: `
    struct Params { by: f32, add: u32 }
    override SIGN: f32 = 1.0;
    @group(0) @binding(0) var<uniform> params: Params;
    @group(0) @binding(1) var<storage, read> x: array<f32>;
    @group(0) @binding(2) var<storage, read_write> y: array<f32>;
    @compute @workgroup_size(64)
    fn main(@builtin(global_invocation_id) id: vec3<u32>) {
      if (id.x < arrayLength(&y)) { y[id.x] += SIGN * params.by * x[id.x] + f32(params.add); }
    }`,
  bindings: [
    { name: 'params', kind: 'uniform' },
    { name: 'x', kind: 'read-only-storage' },
    { name: 'y', kind: 'storage' },
  ],
  runs: [{ at: 1, file: 'test axpy', line: 1 }],
};

function axpy(r: Recorder, y: Tensor, x: Tensor, by: number, add = 0, sign = 1): void {
  r.dispatch(AXPY, { overrides: { SIGN: sign }, bind: { params: [{ f32: by }, add], x, y }, grid: [1] });
}

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
        axpy(r, y, x, 3);
        axpy(r, y, x, 0.5, 1);
        axpy(r, y, x, 1, 0, -1);
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
    (await record(device, (r) => axpy(r, y, x, 3), { label: 'again' })).dispose(),
  );
  assert.equal(again, { bindGroups: 1, buffers: 1, bufferBytes: 256 });
  program.dispose();
  await free(x, y);
});

test('what is repeated is made once and encoded as often as asked, in order, and rounds may hold rounds', async () => {
  const [x, y, z] = [await upload(filled(4, 1), [4]), await upload(filled(4, 0), [4]), await upload(filled(4, 0), [4])];
  let program!: Awaited<ReturnType<typeof record>>;
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
          axpy(r, y, z, 0, 2); // y += 2
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

test('two programs share an encoder, and reads and writes are counted', async () => {
  const [x, y] = [await upload(filled(4, 2), [4]), await upload(filled(4, 0), [4])];
  const a = await record(device, (r) => axpy(r, y, x, 1), { label: 'a' });
  const b = await record(device, (r) => axpy(r, y, x, 10), { label: 'b' });
  await download(y); // makes the staging buffer, if there is none
  const gained = await counted(async () => {
    const encoder = device.gpu.createCommandEncoder();
    a.encode(encoder);
    b.encode(encoder, 2);
    device.submit(encoder);
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

const thrown = async (body: (r: Recorder) => void, on = device): Promise<Error> =>
  (await record(on, body, { label: 'wrong' }).then(
    () => assert.unreachable('nothing was refused'),
    (e: unknown) => e,
  )) as unknown as Error;

test('bindings by the wrong name and grids past the limit are refused when they are recorded', async () => {
  const [x, y] = [await upload(filled(4), [4]), await upload(filled(4), [4])];
  const missing = await thrown((r) => r.dispatch(AXPY, { bind: { params: [0], y }, grid: [1] }));
  assert.instance(missing, ShapeError);
  assert.is(missing.message, 'test axpy: got bindings params, y, expected params, x, y.');
  const other = await thrown((r) => r.dispatch(AXPY, { bind: { params: [0], z: x, y }, grid: [1] }));
  assert.is(other.message, 'test axpy: got bindings params, z, y, expected params, x, y.');
  const limit = device.limits.maxComputeWorkgroupsPerDimension;
  for (const grid of [[limit + 1], [1, limit + 1], [1, 1, limit + 1]] as const) {
    const error = await thrown((r) =>
      r.dispatch(AXPY, { bind: { params: [0], x, y }, grid: grid as unknown as [number, number?, number?] }),
    );
    assert.instance(error, UnsupportedError);
    assert.match(
      error.message,
      new RegExp(`test axpy: needs a grid of .*${limit + 1}.* workgroups, expected at most ${limit} a side`),
    );
  }
  const empty = await record(device, (r) => r.dispatch(AXPY, { bind: { params: [0], x, y }, grid: [0] }), {
    label: 'empty',
  });
  assert.is(empty.dispatches, 0);
  empty.dispose();
  await free(x, y);
});

test('a shader that does not compile names file, line and column', async () => {
  const broken: Shader = {
    ...AXPY,
    name: 'test broken',
    code: 'fn f() {}\n@compute @workgroup_size(1)\nfn main() { let a = nonsense; }',
    bindings: [],
    runs: [
      { at: 1, file: 'broken.wgsl', line: 1 },
      { at: 2, file: 'common/part.wgsl', line: 7 },
    ],
  };
  const own = await Device.request();
  const error = await thrown((r) => r.dispatch(broken, { bind: {}, grid: [1] }), own);
  own.dispose();
  assert.instance(error, UnsupportedError);
  const [first, place] = error.message.split('\n');
  assert.is(first, 'kernels/broken.wgsl does not compile on this adapter with {}:');
  assert.ok(place!.startsWith('kernels/common/part.wgsl:8:21: '), place);
  assert.match(error.message, /nonsense[^]*\n  fn main\(\) \{ let a = nonsense; \}\n {22}\^$/); // each compiler has its own words
});

test('after dispose the ledger is where it was', async () => {
  const before = device.memory();
  const [x, y] = [await upload(filled(100), [100]), await upload(filled(100), [100])];
  const program = await record(
    device,
    (r) => {
      const t = r.temp([100], 't');
      axpy(r, t, x, 1);
      axpy(r, y, t, 1);
    },
    { label: 'ledger' },
  );
  program.run();
  const during = device.memory();
  assert.is(during.current - before.current, 2 * 400 + 400 + 512);
  assert.is(during.owners['ledger.activations']!.current, 400);
  assert.ok(during.peak >= during.current);
  program.dispose();
  program.dispose();
  await free(x, y, x);
  const after = device.memory();
  assert.is(after.current, before.current);
  assert.equal(after.owners['ledger.activations'], { current: 0, peak: 400 });
});

test('a device that is disposed holds nothing and says so when it is used', async () => {
  const own = await Device.request();
  const t = own.createTensor([1000], 'f32', 'own');
  own.write(t, filled(1000, 3));
  assert.is((await own.readFloat32(t))[999], 3);
  assert.ok(own.memory().current > 4000);
  own.dispose();
  own.dispose();
  assert.is(own.memory().current, 0);
  assert.throws(() => own.createTensor([1], 'f32', 'own'), /it was disposed/);
  await own.read(t).then(
    () => assert.unreachable(),
    (e: Error) => assert.match(e.message, /Device: it was disposed, expected a live one/),
  );
});

test('what the GPU reports late is thrown at the next read', async () => {
  const own = await Device.request();
  const t = own.createTensor([4], 'f32', 'own');
  // MAP_READ with STORAGE: a validation error that nobody waits for
  own.gpu.createBuffer({ size: 16, usage: 0x1 | 0x80 });
  await own.read(t).then(
    () => assert.unreachable('expected the error'),
    (e: Error) => {
      assert.instance(e, UnsupportedError);
      assert.match(e.message, /^WebGPU on '.+': .*[Bb]uffer/s);
    },
  );
  assert.throws(() => own.check());
  own.dispose();
});

test('buffers past the limits are refused before the GPU sees them', () => {
  const bytes = Math.min(device.limits.maxStorageBufferBindingSize, device.limits.maxBufferSize) + 16;
  const before = device.memory().current;
  assert.throws(
    () => device.createTensor([bytes], 'f32', 'huge', 'huge tensor'),
    (e: Error) =>
      e instanceof UnsupportedError &&
      /^huge tensor: needs a buffer of \d+ bytes, expected at most \d+ on/.test(e.message),
  );
  assert.is(device.memory().current, before);
});

test.run();

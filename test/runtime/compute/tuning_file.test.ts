// The file of measured choices: what is put in comes out for the same adapter, version and host,
// and for no other; whatever else lies there is as nothing.
// Needs: no device.

import { spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { InputError } from '../../../runtime/base/errors.ts';
import {
  findTuning,
  rememberedTuning,
  rememberTuning,
  tuningFile,
  tuningPlace,
} from '../../../runtime/compute/tuning_file.ts';

const test = suite('tuning');
const folder = mkdtempSync(join(tmpdir(), 'bark-tuning-'));
const before = { ...process.env };
const NAMES = ['BARK_TUNING', 'XDG_CACHE_HOME', 'HOME', 'LOCALAPPDATA'];

const set = (values: Record<string, string | undefined>): void => {
  for (const name of NAMES) {
    const value = name in values ? values[name] : before[name];
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
};
test.after.each(() => set({}));
test.after(() => {
  set({});
  rmSync(folder, { recursive: true, force: true });
});

let made = 0;
/** A file that is not there yet, named in BARK_TUNING. */
function fresh(): string {
  const file = join(folder, `${made++}`, 'tuning.json');
  set({ BARK_TUNING: file });
  return file;
}

const CARD = { vendor: 'acme', architecture: 'one', device: 'Acme 1', description: 'driver 5.0' };

async function refused(run: () => Promise<unknown>, message: RegExp): Promise<void> {
  const error: unknown = await run().then(
    () => assert.unreachable('it was accepted'),
    (caught: unknown) => caught,
  );
  assert.instance(error, InputError);
  assert.match((error as Error).message, message);
}

test('what was measured comes back for the same adapter, and for no other', async () => {
  const file = fresh();
  assert.equal(await rememberedTuning(CARD), {});
  assert.is(await rememberTuning(CARD, { gemm: 'simd8', gemvRows: 2 }), file);
  assert.equal(await rememberedTuning(CARD), { gemm: 'simd8', gemvRows: 2 });
  const found = await findTuning(CARD);
  assert.is(found!.file, file);
  assert.ok(Math.abs(Date.parse(found!.date) - Date.now()) < 60_000);
  for (const name of ['vendor', 'architecture', 'device', 'description'] as const)
    assert.is(await findTuning({ ...CARD, [name]: 'other' }), undefined, name);

  await rememberTuning({ ...CARD, description: 'driver 6.0' }, { gemvRows: 1 });
  await rememberTuning(CARD, { gemvRows: 4 });
  assert.equal(await rememberedTuning(CARD), { gemvRows: 4 });
  assert.equal(await rememberedTuning({ ...CARD, description: 'driver 6.0' }), { gemvRows: 1 });
  assert.is(JSON.parse(readFileSync(file, 'utf8')).measured.length, 2);
  assert.equal(readdirSync(join(file, '..')), ['tuning.json']);
});

test('another version, or another host, measured for itself', async () => {
  const file = fresh();
  await rememberTuning(CARD, { gemvRows: 2 });
  const content = JSON.parse(readFileSync(file, 'utf8'));
  assert.match(content.measured[0].version, /^\d+\.\d+\.\d+/);
  for (const change of [{ version: '0.0.1' }, { adapter: { ...content.measured[0].adapter, host: 'deno' } }]) {
    writeFileSync(file, JSON.stringify({ ...content, measured: [{ ...content.measured[0], ...change }] }));
    assert.is(await findTuning(CARD), undefined, JSON.stringify(change));
  }
  await rememberTuning(CARD, { gemvRows: 1 }); // next to it
  assert.is(JSON.parse(readFileSync(file, 'utf8')).measured.length, 2);
});

test('a damaged or foreign file is as none, and is not written over', async () => {
  const file = fresh();
  await rememberTuning(CARD, { gemvRows: 2 });
  const whole = readFileSync(file, 'utf8');
  const files: [string, string | Uint8Array][] = [
    ['half of it', whole.slice(0, whole.length / 2)],
    ['no JSON', 'hello'],
    ['null', 'null'],
    ['a number', '7'],
    ['a list', '[]'],
    ["another program's", '{"name":"x"}'],
    ['a later format', whole.replace('tuning 1', 'tuning 2')],
    ['no list', whole.replace(/"measured": \[[\s\S]*\]/, '"measured": {}')],
    ['bytes', Uint8Array.of(0xff, 0, 0xfe)],
    ['too large', `${' '.repeat(2 << 20)}${whole}`],
  ];
  for (const [what, content] of files) {
    writeFileSync(file, content);
    assert.equal(await rememberedTuning(CARD), {}, what);
    await refused(
      () => rememberTuning(CARD, {}),
      /tuning\.json: got something else than an earlier measurement, expected .*Delete it, or name another file in BARK_TUNING/,
    );
    assert.equal(readFileSync(file), Buffer.from(content), what);
  }
  writeFileSync(file, '');
  await rememberTuning(CARD, { gemvRows: 1 });
  assert.equal(await rememberedTuning(CARD), { gemvRows: 1 });
});

test('an entry with anything but names, words and numbers is left out, the others stay', async () => {
  const file = fresh();
  await rememberTuning(CARD, { gemvRows: 2 });
  const content = JSON.parse(readFileSync(file, 'utf8'));
  const other = { ...CARD, device: 'Acme 2' };
  for (const tuning of [
    '{"gemm":null}',
    '{"gemm":["tile"]}',
    '{"gemm":"a b"}',
    '{"__proto__":1}',
    '{"constructor ":1}',
    '[1]',
    '"x"',
    'null',
  ]) {
    const bad = JSON.stringify({ ...content.measured[0], adapter: { ...other, host: 'node' }, tuning: 0 }).replace(
      '"tuning":0',
      `"tuning":${tuning}`,
    );
    writeFileSync(
      file,
      `{"format":${JSON.stringify(content.format)},"measured":[null,7,{},${bad},${JSON.stringify(content.measured[0])}]}`,
    );
    assert.equal(await rememberedTuning(other), {}, tuning);
    assert.equal(await rememberedTuning(CARD), { gemvRows: 2 }, tuning);
  }
  assert.is(({} as Record<string, unknown>)['gemm'], undefined);
});

test('where nothing can be written the error says what to do; nothing is left behind', async () => {
  const blocked = join(folder, 'a-file');
  writeFileSync(blocked, '');
  set({ BARK_TUNING: join(blocked, 'tuning.json') });
  await refused(
    () => rememberTuning(CARD, {}),
    /a-file: got (EEXIST|ENOTDIR), expected a place that can be written\. .*BARK_TUNING/,
  );
  await refused(() => tuningPlace(), /a-file: got/);
  assert.equal(await rememberedTuning(CARD), {});
  set({ BARK_TUNING: folder });
  await refused(() => tuningPlace(), /got something else than an earlier measurement/);
  assert.equal(await rememberedTuning(CARD), {});
  set({ BARK_TUNING: 'off' });
  await refused(() => tuningPlace(), /BARK_TUNING: got off, expected a file .*Unset it/);
  assert.equal(await rememberedTuning(CARD), {});
  if (process.platform === 'win32' || process.getuid?.() === 0)
    return console.log('skip: a read-only folder stops no superuser');
  const locked = join(folder, 'locked');
  mkdirSync(locked);
  chmodSync(locked, 0o555);
  set({ BARK_TUNING: join(locked, 'tuning.json') });
  await refused(() => rememberTuning(CARD, {}), /locked: got EACCES/);
  assert.equal(readdirSync(locked), []);
});

test('a link stays a link', async () => {
  if (process.platform === 'win32') return console.log('skip: links need rights on Windows');
  const file = fresh();
  await rememberTuning(CARD, { gemvRows: 2 });
  const link = join(folder, 'link.json');
  symlinkSync(file, link);
  set({ BARK_TUNING: link });
  await rememberTuning(CARD, { gemvRows: 1 });
  assert.is(JSON.parse(readFileSync(file, 'utf8')).measured[0].tuning.gemvRows, 1);
});

test('the place, where BARK_TUNING says nothing', async () => {
  set({ BARK_TUNING: undefined, XDG_CACHE_HOME: '/cache', HOME: '/home/me' });
  if (process.platform !== 'win32') assert.is(await tuningFile(), '/cache/bark-webgpu/tuning.json');
  if (process.platform !== 'linux') return;
  set({ BARK_TUNING: '', XDG_CACHE_HOME: 'relative', HOME: '/home/me' });
  assert.is(await tuningFile(), '/home/me/.cache/bark-webgpu/tuning.json');
  set({ BARK_TUNING: undefined, XDG_CACHE_HOME: undefined, HOME: '/home/me' });
  assert.is(await tuningFile(), '/home/me/.cache/bark-webgpu/tuning.json');
  set({ BARK_TUNING: ' off ' });
  assert.is(await tuningFile(), undefined);
});

test('processes that write at once lose nothing, and readers see whole files', async () => {
  const file = fresh();
  const module = fileURLToPath(new URL('../../../runtime/compute/tuning_file.ts', import.meta.url));
  const script = `import(${JSON.stringify(module)}).then(async ({ rememberTuning }) => { for (const i of [0, 1, 2]) await rememberTuning({ vendor: process.argv[1], architecture: String(i), device: '', description: '' }, { gemvRows: 2 }); })`;
  const writers = ['a', 'b', 'c'].map(
    (name) =>
      new Promise<number | null>((resolve) =>
        spawn(process.execPath, ['--import', import.meta.resolve('tsx'), '-e', script, name], { stdio: 'inherit' }).on(
          'close',
          resolve,
        ),
      ),
  );
  let [done, seen] = [false, 0];
  const codes = Promise.all(writers).finally(() => (done = true));
  while (!done) {
    if (existsSync(file)) seen = Math.max(seen, JSON.parse(readFileSync(file, 'utf8')).measured.length);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.equal(await codes, [0, 0, 0]);
  assert.is(JSON.parse(readFileSync(file, 'utf8')).measured.length, 9);
  assert.ok(seen > 0);
  assert.equal(readdirSync(join(file, '..')), ['tuning.json']);
});

test.run();

// One cache folder for this library and for Python's huggingface_hub: what it recorded
// (fixtures/hub/make.py) is found and is made the same; and where BARK_TEST_PYTHON, or python3, has
// huggingface_hub, it finds what was fetched here, and the other way about.
// Needs: no device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { env } from '../../../../runtime/host/platform.ts';
import { commitId, fixtureRepos } from './repos.ts';
import {
  assertBytes,
  assertSound,
  failure,
  readWhole,
  restoreEnvironment,
  setEnvironment,
  stage,
  temporaryFolder,
  treeOf,
  type Entry,
  type Stage,
} from './support.ts';
const test = suite('hub and Python');
test.after(restoreEnvironment);

const recorded: { made_by: string; tree: Entry[] } = JSON.parse(
  readFileSync(new URL('../../../fixtures/hub/python_cache.json', import.meta.url), 'utf8'),
);
const files = fixtureRepos()['org/name']!.commits.get(commitId('first'))!;
const MISSING = ['model.safetensors', 'nested/none.json'];

function unpack(root: string): void {
  for (const { path, kind, target, base64 } of recorded.tree) {
    const full = join(root, path);
    mkdirSync(kind === 'folder' ? full : dirname(full), { recursive: true });
    if (kind === 'link') symlinkSync(target!, full);
    if (kind === 'file') writeFileSync(full, Buffer.from(base64!, 'base64'));
  }
}

async function readAll({ open }: Pick<Stage, 'open'>): Promise<void> {
  const source = await open();
  for (const [path, { bytes }] of files) {
    assert.is(await source.has(path), true, path);
    assertBytes(await readWhole(source, path), bytes, path);
  }
  for (const path of MISSING) {
    assert.is(await source.has(path), false, path);
    await failure(source.open(path), path, /org\/name/);
  }
  assert.match(
    new TextDecoder().decode(await readWhole(await open({ revision: 'refs/pr/5' }), 'config.json')),
    /"pr": 5/,
  );
  assertBytes(
    await readWhole(await open({ revision: 'v1.0' }), 'pytorch_model.bin'),
    files.get('pytorch_model.bin')!.bytes,
    'tag',
  );
}

test("Python's cache: all is found, online without a GET, offline without a request", async () => {
  const made = await stage(fixtureRepos());
  unpack(made.cacheDir);
  await readAll(made);
  assert.equal(made.hub.gets(/resolve|blobs/), []);
  assert.equal(treeOf(made.cacheDir), recorded.tree, 'and nothing is changed');
  made.hub.log.length = 0;
  setEnvironment({ HF_ENDPOINT: made.hub.endpoint, HF_HUB_OFFLINE: '1' });
  await readAll(made);
  assert.equal(made.hub.log, []);
});

test('the same files make the same tree', async () => {
  const made = await stage(fixtureRepos());
  await readAll(made);
  const kept = (tree: Entry[]) => tree.filter(({ path }) => !path.startsWith('.locks') && path !== 'CACHEDIR.TAG');
  assert.equal(kept(treeOf(made.cacheDir)), kept(recorded.tree));
  assertSound(made.cacheDir);
});

const run = promisify(execFile);

async function python(code: string, variables: Record<string, string> = {}): Promise<unknown> {
  const name = env('BARK_TEST_PYTHON') ?? 'python3';
  const { stdout } = await run(name, ['-c', `import json, os\nimport huggingface_hub as hub\n${code}`], {
    env: {
      ...process.env,
      HF_HUB_DISABLE_XET: '1',
      HF_HUB_DISABLE_PROGRESS_BARS: '1',
      HF_HUB_DISABLE_TELEMETRY: '1',
      ...variables,
    },
  });
  return JSON.parse(stdout);
}

/** Paths of files and what they hold, as Python finds them without a network. */
const FIND = `
found = {}
for path in json.loads(os.environ['PATHS']):
    at = hub.try_to_load_from_cache('org/name', path, cache_dir=os.environ['CACHE'])
    found[path] = 'known to be missing' if at is hub._CACHED_NO_EXIST else open(hub.hf_hub_download('org/name', path, cache_dir=os.environ['CACHE'], local_files_only=True), 'rb').read().hex()
whole = hub.snapshot_download('org/name', cache_dir=os.environ['CACHE'], local_files_only=True)
scan = hub.scan_cache_dir(os.environ['CACHE'])
print(json.dumps({'found': found, 'whole': sorted(os.listdir(whole)), 'warnings': [str(w) for w in scan.warnings], 'revisions': sum(len(repo.revisions) for repo in scan.repos)}))
`;

test('Python finds what was fetched here, and this what Python fetches now', async () => {
  const there = await python('print(json.dumps(hub.__version__))').catch(() => undefined);
  if (there === undefined)
    return void console.log('\nskip: no Python with huggingface_hub (BARK_TEST_PYTHON names one)');
  const made = await stage(fixtureRepos());
  await readAll(made);
  made.hub.log.length = 0;
  const found = await python(FIND, {
    HF_HUB_OFFLINE: '1',
    CACHE: made.cacheDir,
    PATHS: JSON.stringify([...files.keys(), ...MISSING]),
  });
  assert.equal(found, {
    found: Object.fromEntries([
      ...[...files].map(([path, { bytes }]) => [path, Buffer.from(bytes).toString('hex')] as const),
      ...MISSING.map((path) => [path, 'known to be missing'] as const),
    ]),
    whole: [...new Set([...files.keys()].map((path) => path.split('/')[0]!))].sort(),
    warnings: [],
    revisions: 2,
  });
  // Online too: Python is content with these blobs.
  await python(
    `print(json.dumps(hub.hf_hub_download('org/name', 'pytorch_model.bin', cache_dir=os.environ['CACHE'])))`,
    { CACHE: made.cacheDir },
  );
  assert.equal(made.hub.gets(/resolve|blobs/), []);

  const cacheDir = join(temporaryFolder(), 'cache');
  for (const path of files.keys())
    await python(
      `print(json.dumps(hub.hf_hub_download('org/name', os.environ['FILE'], cache_dir=os.environ['CACHE'])))`,
      { CACHE: cacheDir, FILE: path },
    );
  made.hub.log.length = 0;
  setEnvironment({ HF_ENDPOINT: made.hub.endpoint, HF_HUB_OFFLINE: '1' });
  const source = await made.open({ cacheDir });
  for (const [path, { bytes }] of files) assertBytes(await readWhole(source, path), bytes, path);
  assert.equal(made.hub.log, []);
});

test.run();

// The cache folder: Python's layout, nothing asked for twice, revisions of all kinds, files that
// are not there, folders that cannot be written, and who gets to see the token.
// Needs: no device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { existsSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DownloadError, InputError, WeightsError } from '../../../../runtime/base/errors.ts';
import { host } from '../../../../runtime/host/platform.ts';
import { commitId, filesOf, fixtureRepos, formulaBytes, repoOf } from './repos.ts';
import { etagOf, startHub } from './server.ts';
import {
  assertBytes,
  assertSound,
  failure,
  readWhole,
  restoreEnvironment,
  setEnvironment,
  stage,
  temporaryFolder,
} from './support.ts';
import { text } from './cache_contents.ts';

const test = suite('hub cache');

test.after(restoreEnvironment);

const weights = formulaBytes(3001);

const FIRST = commitId('first');

test('blobs by etag, snapshots as links to them, refs with the commit', async () => {
  const { hub, cacheDir, open } = await stage(fixtureRepos());
  const source = await open();
  assert.match(source.label, /org\/name/);
  const { commits } = hub.repos.get('org/name')!;
  for (const [path, file] of commits.get(FIRST)!) {
    assert.ok(await source.has(path), path);
    assertBytes(await readWhole(source, path), file.bytes, path);
    const link = readlinkSync(join(cacheDir, 'models--org--name', 'snapshots', FIRST, path));
    assert.is(link, `${'../'.repeat(path.split('/').length + 1)}blobs/${etagOf(file)}`, path);
    assert.ok(readFileSync(join(cacheDir, 'models--org--name', 'blobs', etagOf(file))).equals(file.bytes), path);
  }
  assert.is(readFileSync(join(cacheDir, 'models--org--name', 'refs', 'main'), 'utf8'), FIRST);
  assertSound(cacheDir);
  assert.is(new Set(hub.gets().map(({ path }) => path)).size, hub.gets().length, 'a GET came twice');
  assert.ok(
    !hub.gets().some(({ path }) => path.endsWith('copy.json')),
    'the same bytes under another name were fetched again',
  );
});

test('the second time: no GET; and of a commit: no request at all', async () => {
  const { hub, open, fetch } = await stage(fixtureRepos());
  await fetch('config.json');
  await fetch('pytorch_model.bin');
  hub.log.length = 0;
  const source = await open();
  for (const path of ['config.json', 'pytorch_model.bin']) {
    assert.ok(await source.has(path));
    await readWhole(source, path);
  }
  assert.equal(hub.gets(/resolve|blobs/), []);
  hub.log.length = 0;
  assertBytes(await fetch('pytorch_model.bin', { revision: FIRST }), weights, 'by commit');
  assert.equal(hub.log, []);
});

test('revisions: branch with slashes, tag, commit, and none such', async () => {
  const { cacheDir, fetch } = await stage(fixtureRepos());
  assertBytes(
    await fetch('config.json', { revision: 'refs/pr/5' }),
    text('{"model_type": "bark", "pr": 5}\n'),
    'pull request',
  );
  assertBytes(await fetch('config.json', { revision: 'v1.0' }), text('{"model_type": "bark"}\n'), 'tag');
  assertBytes(
    await fetch('config.json', { revision: commitId('pull request') }),
    text('{"model_type": "bark", "pr": 5}\n'),
    'commit',
  );
  const refs = join(cacheDir, 'models--org--name', 'refs');
  assert.is(readFileSync(join(refs, 'refs/pr/5'), 'utf8'), commitId('pull request'));
  assert.is(readFileSync(join(refs, 'v1.0'), 'utf8'), FIRST);
  assert.not(existsSync(join(refs, commitId('pull request'))));
  assertSound(cacheDir);
  await failure(fetch('config.json', { revision: 'v9' }), 'no such revision', /org\/name.*v9|v9.*org\/name/s);
  for (const revision of ['../../evil', '/etc', '', 'a/../../../b', 'a\0b', 'a\\b']) {
    await failure(fetch('config.json', { revision }), JSON.stringify(revision), /revision/i);
    assertSound(cacheDir, revision);
  }
});

test('files that the repository lacks are remembered for the commit', async () => {
  const { hub, cacheDir, open } = await stage(fixtureRepos());
  const source = await open();
  assert.is(await source.has('model.safetensors'), false);
  await failure(source.open('nested/none.json'), 'missing', /org\/name.*nested\/none\.json/, [WeightsError]);
  for (const path of ['model.safetensors', 'nested/none.json'])
    assert.ok(existsSync(join(cacheDir, 'models--org--name/.no_exist', FIRST, path)), path);
  hub.log.length = 0;
  assert.is(await (await open({ revision: FIRST })).has('model.safetensors'), false);
  assert.equal(hub.log, [], 'asked again for what a commit can never have');
  hub.repos.get('org/name')!.commits.set(commitId('next'), filesOf({ 'model.safetensors': weights }));
  hub.repos.get('org/name')!.refs.set('main', commitId('next'));
  assert.is(await (await open()).has('model.safetensors'), true, 'a later commit has it');
});

test('paths that climb are refused before any request', async () => {
  const { hub, cacheDir, open } = await stage(fixtureRepos());
  const source = await open();
  hub.log.length = 0;
  for (const path of ['../x', 'a/../../x', '/etc/passwd', '', '.', 'a\\b', 'c:/x', 'a\0b']) {
    await failure(source.open(path), JSON.stringify(path), /path/);
    await failure(source.has(path), JSON.stringify(path), /path/);
  }
  assert.equal(hub.log, []);
  assertSound(cacheDir);
});

test('no such repository, a gated one, a private one, a renamed one', async () => {
  const gated = { ...repoOf({ 'config.json': '{}' }), gatedTo: 'hf_good' };
  const { hub, fetch } = await stage({ 'org/name': gated });
  await failure(fetch('config.json'), 'gated', /org\/name.*(gated|access|licen[cs]e|terms)/is, [DownloadError]);
  await failure(fetch('config.json'), 'gated', /HF_TOKEN|log ?in|token/);
  await failure(fetch('config.json', { token: 'hf_wrong' }), 'gated, another token', /access|gated/i, [DownloadError]);
  assertBytes(await fetch('config.json', { token: 'hf_good' }), text('{}'), 'with the token');

  hub.repos.set('org/name', { ...repoOf({ 'config.json': '{"b": 1}' }, 'b'), privateTo: 'hf_private' });
  const cacheDir = temporaryFolder();
  const error = await failure(fetch('config.json', { cacheDir }), 'private', /org\/name/, [
    DownloadError,
    WeightsError,
  ]);
  assert.match(error.message, /HF_TOKEN|log ?in|token/);
  assertBytes(await fetch('config.json', { cacheDir, token: 'hf_private' }), text('{"b": 1}'), 'private');
  hub.repos.delete('org/name');
  await failure(
    fetch('config.json', { cacheDir: temporaryFolder() }),
    'none',
    /org\/name.*(check|spell|token|private)/is,
  );

  hub.repos.set('org/name', { ...repoOf({}), movedTo: 'new-org/new.name' });
  hub.repos.set('new-org/new.name', repoOf({ 'config.json': '{"moved": true}', 'pytorch_model.bin': weights }));
  const moved = temporaryFolder();
  assertBytes(await fetch('config.json', { cacheDir: moved }), text('{"moved": true}'), 'renamed');
  assertBytes(await fetch('pytorch_model.bin', { cacheDir: moved }), weights, 'renamed');
  assert.ok(existsSync(join(moved, 'models--org--name', 'refs', 'main')), 'under the name that was asked for');
});

test('small files through resolve-cache, and compressed', async () => {
  const repo = {
    ...repoOf({ 'config.json': '{"a": 1}'.padEnd(5000), 'sub/é ü.json': '{"b": 2}' }),
    resolveCache: true,
  };
  const { hub, cacheDir, fetch } = await stage({ 'org/name': repo });
  hub.gzip = 'accepted';
  assertBytes(await fetch('config.json'), text('{"a": 1}'.padEnd(5000)), 'resolve-cache');
  assertBytes(await fetch('sub/é ü.json'), text('{"b": 2}'), 'resolve-cache, odd path');
  assertSound(cacheDir);
  repo.resolveCache = false;
  const other = join(temporaryFolder(), 'cache');
  assertBytes(
    await fetch('config.json', { cacheDir: other }),
    text('{"a": 1}'.padEnd(5000)),
    'gzip where it is accepted',
  );
  hub.gzip = 'always'; // against the request's wish, as some proxies do; Deno does not undo that
  if (host === 'node')
    assertBytes(await fetch('sub/é ü.json', { cacheDir: other }), text('{"b": 2}'), 'gzip, asked or not');
  assertSound(other);
});

test('the token goes to the Hub, and to nobody else', async () => {
  const elsewhere = await startHub(fixtureRepos());
  const repo = { ...fixtureRepos()['org/name']!, privateTo: 'hf_secret' };
  for (const from of ['option', 'HF_TOKEN', 'HF_TOKEN_PATH', '$HF_HOME/token'] as const) {
    const { hub, fetch } = await stage({ 'org/name': repo });
    const home = temporaryFolder();
    writeFileSync(join(home, 'token'), ' hf_secret\n');
    const variables: Record<string, string> = { HF_ENDPOINT: hub.endpoint };
    if (from === 'HF_TOKEN') variables['HF_TOKEN'] = 'hf_secret';
    if (from === 'HF_TOKEN_PATH') variables['HF_TOKEN_PATH'] = join(home, 'token');
    if (from === '$HF_HOME/token') variables['HF_HOME'] = home;
    setEnvironment(variables);
    hub.faults = [{ port: 'cdn', method: 'GET', cut: 1000 }]; // resuming asks the Hub for a new link, or not
    assertBytes(await fetch('pytorch_model.bin', from === 'option' ? { token: 'hf_secret' } : {}), weights, from);
    for (const entry of hub.log)
      assert.is(
        entry.authorization,
        entry.port === 'hub' ? 'Bearer hf_secret' : undefined,
        `${from}: ${entry.method} ${entry.port} ${entry.path}`,
      );
    for (const status of [301, 302, 307, 308]) {
      hub.faults = [
        {
          port: 'hub',
          status,
          headers: { Location: `${elsewhere.endpoint}/org/name/resolve/main/config.json` },
          times: Infinity,
        },
      ];
      await fetch('config.json', { token: 'hf_secret' }).catch((error: unknown) =>
        failure(Promise.reject(error), from),
      );
    }
    hub.faults = [{ port: 'cdn', status: 403, times: Infinity }];
    const { message } = await failure(
      fetch('pytorch_model.bin', { token: 'hf_secret', cacheDir: temporaryFolder() }),
      from,
    );
    assert.not.match(message, /hf_secret|sig=/);
  }
  assert.equal(
    elsewhere.log.filter(({ authorization }) => authorization),
    [],
  );
});

test('a token that no header can carry', async () => {
  const { hub, fetch } = await stage(fixtureRepos());
  for (const token of ['hf_a\r\nX-Evil: 1', 'hf_ü', 'a\0']) {
    const { message } = await failure(fetch('config.json', { token }), 'token', /token/i, [InputError, DownloadError]);
    assert.not.match(message, /Evil|hf_ü/);
  }
  assert.equal(hub.log, []);
});

test.run();

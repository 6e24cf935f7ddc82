// The command with models of the Hub, which is one on this machine.
// Needs: a device, on wasm.

import { mkdtempSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { repoOf } from '../../runtime/sources/hub/repos.ts';
import { startHub, type FakeHub } from '../../runtime/sources/hub/server.ts';
import { DEMO, folder, STACK, bark, expectError, readWav } from './run_command.ts';

const test = suite('command_hub');

const BRIEF = ['--seed', '7', '--max-new-tokens', '3', 'hello.'];

/** The demo voice as a repository. */
function demoRepo() {
  const files = readdirSync(DEMO, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return repoOf(
    Object.fromEntries(
      files.map(({ parentPath, name }) => {
        const path = join(parentPath, name);
        return [
          path.slice(DEMO.length),
          /\.(safetensors|npy)$/.test(name) ? readFileSync(path) : readFileSync(path, 'utf8'),
        ];
      }),
    ),
  );
}

async function withHub(run: (hub: FakeHub, env: Record<string, string>) => Promise<void>): Promise<void> {
  const hub = await startHub({ 'org/demo': demoRepo() });
  try {
    await run(hub, { HF_ENDPOINT: hub.endpoint, HF_HOME: mkdtempSync(join(folder, 'hf-')) });
  } finally {
    await hub.close();
  }
}

test('a model of the Hub by its id: only what is needed is fetched, and the second time nothing', () =>
  withHub(async (hub, env) => {
    const listed = await bark(['voices', '-m', 'org/demo', '--json'], { env });
    assert.is(listed.code, 0, listed.stderr);
    assert.is(JSON.parse(listed.stdout.toString()).length, 2);
    assert.equal(hub.gets(/npy|safetensors|README/), []);
    const spoken = await bark(['-m', 'org/demo', '-v', 'demo/ada', '--json', '-o', 'hub.wav', ...BRIEF], { env });
    assert.is(spoken.code, 0, spoken.stderr);
    assert.match(spoken.stderr, /^download  model\.safetensors  15\.4 MB in [\d.]+ s, /m);
    assert.not.match(spoken.stderr, /^download .*(json|txt|npy)/m);
    assert.match(spoken.stderr, /^load /m);
    assert.equal(JSON.parse(spoken.stdout.toString()).model, 'org/demo');
    assert.is(hub.gets(/npy/).filter(({ port }) => port === 'hub').length, 3);
    const given = hub.log.length;
    // The WAV on standard output and nothing else; --quiet is quiet.
    const again = await bark(['-m', 'org/demo', '--offline', '-v', 'demo/ada', '-q', '-o', '-', ...BRIEF], {
      env: { ...env, HF_ENDPOINT: 'http://127.0.0.1:1' },
    });
    assert.is(again.code, 0, again.stderr);
    assert.equal(again.stdout, readFileSync(join(folder, 'hub.wav')));
    const { rate, samples } = readWav(again.stdout);
    assert.ok(rate === 24000 && samples.some((sample) => sample !== 0));
    assert.is(hub.log.length, given);
    assert.not.match(again.stderr, /^(download|load|semantic|Speaking)/m);
    await Promise.all([
      expectError(['voices', '-m', 'org/demo', '--offline', '--revision', 'v9'], 1, /org\/demo@v9: got no copy/, {
        env,
      }),
      expectError(['voices', '-m', 'org/absent'], 1, /org\/absent/, { env }),
    ]);
  }));

test('an interrupted download ends with 130, leaves no folder, and the next one goes on', () =>
  withHub(async (hub, env) => {
    hub.faults.push({ port: 'cdn', path: /./, trickle: { piece: 1_000_000, milliseconds: 100 } });
    let at = 0;
    const result = await bark(['convert', 'org/demo', 'interrupted', '--no-voices'], {
      env,
      started: (kill) => {
        const timer = setInterval(() => {
          if (hub.bytesGiven() < 3e6) return;
          clearInterval(timer);
          at = performance.now();
          kill('SIGINT');
        }, 20);
      },
    });
    const took = performance.now() - at;
    assert.is(result.code, 130, result.stderr);
    assert.ok(at > 0 && took < 2000, `${took} ms`);
    assert.match(result.stderr, /^Stopped\. What has been downloaded is kept; the next time goes on from there\.$/m);
    assert.not.match(result.stderr, /error:/);
    assert.not.match(result.stderr, STACK);
    assert.equal(
      readdirSync(folder).filter((name) => name.includes('interrupted')),
      [],
    );

    const before = hub.log.length;
    const again = await bark(['convert', 'org/demo', 'interrupted', '--no-voices', '--json'], { env });
    assert.is(again.code, 0, again.stderr);
    const ranges = hub.log
      .slice(before)
      .filter(({ method, port }) => method === 'GET' && port === 'cdn')
      .map(({ range }) => range);
    assert.ok(ranges.length === 1 && Number(/^bytes=(\d+)-/.exec(ranges[0] ?? '')?.[1]) >= 1e6, String(ranges));
    assert.is(JSON.parse(again.stdout.toString()).folder, 'interrupted');
  }));

test.run();

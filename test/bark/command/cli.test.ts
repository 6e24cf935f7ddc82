// The command as a user meets it: a process with arguments, two streams and an exit code. It speaks
// with the demo voice, in short texts.
// Needs: a GPU.

import { spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readArguments, UsageError } from '../../../bark/command/arguments.ts';
import { HOST_BUNDLES } from '../../../bark/build.ts';
import { BarkModel, BarkProcessor } from '../../../bark/index.ts';
import { Progress } from '../../../bark/command/progress.ts';
import { say } from '../../../bark/command/say.ts';
import { rememberTuning } from '../../../runtime/compute/tuning_file.ts';
import { testDevice } from '../../device.ts';
import { repoOf } from '../../runtime/sources/hub/repos.ts';
import { startHub, type FakeHub } from '../../runtime/sources/hub/server.ts';

const test = suite('cli');
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const DEMO = fileURLToPath(new URL('../../../bark/demo_voice/', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'bark-cli-'));
mkdirSync(join(ROOT, 'dist'), { recursive: true });
// a package of its own, below the one whose node_modules it needs
const shipped = mkdtempSync(join(ROOT, 'dist', 'cli-'));
test.after(() => [folder, shipped].forEach((made) => rmSync(made, { recursive: true, force: true })));

// As it is shipped, but each program in one file: that starts in a third of the time.
const CLI = join(shipped, 'dist/bark/command/cli.js');
test.before(async () => {
  cpSync(join(ROOT, 'package.json'), join(shipped, 'package.json'));
  mkdirSync(join(shipped, 'bark'));
  symlinkSync(DEMO, join(shipped, 'bark/demo_voice'), 'junction');
  await build({
    ...HOST_BUNDLES,
    entryPoints: ['bark/command/cli.ts', 'bench/run.ts'],
    outdir: join(shipped, 'dist'),
    splitting: false,
  });
});

/** No setting of the Hub of whoever runs the tests. */
const OUTSIDE = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^(HF_|HUGGING|TRANSFORMERS_)/.test(name)),
);

/** A line of a JavaScript stack; Dawn prints one of its own, in C++, where it finds no driver. */
const STACK = /^\s+at .*\.[jt]s:\d/m;

interface Result {
  code: number | null;
  stdout: Buffer;
  stderr: string;
}

interface Options {
  stdin?: string;
  env?: Record<string, string>;
  started?: (kill: (signal: NodeJS.Signals) => void, closeOutput: () => void) => void;
  /** Called with standard error so far, whenever it grows. */
  watch?: (stderr: string, kill: (signal: NodeJS.Signals) => void) => void;
}

function bark(args: string[], { stdin, env = {}, started, watch }: Options = {}): Promise<Result> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [CLI, ...args], {
      cwd: folder,
      env: { ...OUTSIDE, HF_HOME: join(folder, 'hf'), ...env },
      stdio: [stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    });
    const out: Buffer[] = [];
    let stderr = '';
    child.stdout!.on('data', (data: Buffer) => out.push(data));
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
      watch?.(stderr, (signal) => child.kill(signal));
    });
    started?.(
      (signal) => child.kill(signal),
      () => child.stdout!.destroy(),
    );
    child.stdin?.end(stdin);
    child.on('close', (code) => resolve({ code, stdout: Buffer.concat(out), stderr }));
  });
}

/**
 * Ends with `code` and one line of error with `message`, nothing on standard output and no stack
 * trace.
 */
async function expectError(args: string[], code: number, message: RegExp, options?: Options): Promise<void> {
  const result = await bark(args, options);
  const name = `bark ${args.join(' ')}`;
  assert.is(result.code, code, `${name}: ${result.stderr}`);
  assert.is(result.stdout.length, 0, name);
  const errors = result.stderr.split('\n').filter((line) => line.startsWith('error: '));
  assert.is(errors.length, 1, `${name}: ${result.stderr}`);
  assert.match(errors[0]!, message);
  assert.not.match(result.stderr, STACK);
}

function readWav(bytes: Buffer): { rate: number; samples: Int16Array } {
  assert.is(bytes.toString('latin1', 0, 4), 'RIFF');
  assert.is(bytes.readUInt32LE(4), bytes.length - 8);
  assert.is(bytes.toString('latin1', 8, 16), 'WAVEfmt ');
  assert.is(bytes.toString('latin1', 36, 40), 'data');
  assert.is(bytes.readUInt32LE(40), bytes.length - 44);
  return {
    rate: bytes.readUInt32LE(24),
    samples: new Int16Array(bytes.buffer.slice(bytes.byteOffset + 44, bytes.byteOffset + bytes.length)),
  };
}

const BRIEF = ['--seed', '7', '--max-new-tokens', '3', 'hello.'];
const SHORT = ['--seed', '7', '--max-new-tokens', '12', 'hello.'];

test('help, version and voices are on standard output', async () => {
  const [help, version, voices] = await Promise.all([
    bark(['--help']),
    bark(['--version']),
    bark(['voices', '--json']),
  ]);
  assert.is(help.code, 0);
  for (const part of ['Usage: bark "text"', '-v, --voice NAME', '-o, --output FILE', '--greedy', 'Exit codes'])
    assert.ok(help.stdout.includes(part), part);
  assert.is(help.stderr, '');
  assert.match(version.stdout.toString(), /^\d+\.\d+\.\d+\n$/);
  assert.equal(JSON.parse(voices.stdout.toString()), [
    { name: 'demo/ada', language: null },
    { name: 'demo/ada_2', language: null },
  ]);
});

test('wrong usage ends with 2 and what is not there with 1, before any work', async () => {
  await Promise.all([
    expectError(
      ['--temprature', '1', 'hello.'],
      2,
      /^error: --temprature: got an option that is not known; did you mean --temperature\?/,
    ),
    expectError([], 2, /got an empty text/, { stdin: '' }),
    expectError(
      ['-v', 'v2/en_speaker_6', 'hello.'],
      2,
      /--voice: got v2\/en_speaker_6 without --model.*Add --model suno\/bark-small/,
    ),
    expectError(
      ['-v', 'demo/adda', 'hello.'],
      2,
      /Voice "demo\/adda": got no such name and no such file.*near: demo\/ada/,
    ),
    expectError(
      ['--model', 'absent', 'hello.'],
      1,
      /absent: got no such folder, expected one with a model's files.*a model of the Hub is written org\/name/,
    ),
  ]);
});

test('what say refuses before a model is opened', async () => {
  writeFileSync(join(folder, 'blank.txt'), ' \n');
  const cases: [string[], RegExp][] = [
    [[''], /got an empty text, expected words to speak/],
    [['--file', join(folder, 'blank.txt')], /got a text of white space/],
    [['--file', join(folder, 'absent.txt')], /absent\.txt: got no such file/],
    [['-o', join(folder, 'absent/hello.wav'), 'hello.'], /got no folder .*absent, expected one to write into/],
    [['-o', folder, 'hello.'], /got a folder, expected the path of a file/],
    [['--json', '-o', '-', 'hello.'], /--json: got it with -o -/],
  ];
  const progress = new Progress({ write: () => assert.unreachable('printed') });
  const print = () => assert.unreachable('printed') as never;
  for (const [args, message] of cases) {
    const error: unknown = await say(readArguments(args), {
      progress,
      signal: new AbortController().signal,
      print,
    }).catch((caught: unknown) => caught);
    assert.instance(error, UsageError, args.join(' '));
    assert.match((error as Error).message, message);
  }
});

test('--json tells what -o wrote, and the library says the same', async () => {
  const { code, stdout, stderr } = await bark(['--json', '-o', 'hello.wav', '-v', 'demo/ada', ...SHORT]);
  assert.is(code, 0, stderr);
  const told = JSON.parse(stdout.toString());
  const { rate, samples } = readWav(readFileSync(join(folder, 'hello.wav')));
  assert.equal(told.audio, { sampling_rate: rate, duration: samples.length / rate, samples: samples.length });
  assert.equal(
    [told.text, told.voice, told.output, told.seed, told.dtype, told.offload, told.model],
    ['hello.', 'demo/ada', 'hello.wav', 7, 'float16', false, null],
  );
  assert.equal(told.tokens.fine.slice(0, 2), told.tokens.coarse);
  assert.is(
    told.warnings.some((warning: string) => warning.includes('cut at 12 semantic tokens')),
    true,
  );
  assert.is(
    told.timings.semantic > 0 &&
      told.timings.total >= told.timings.fine &&
      told.memory.peak > 0 &&
      told.adapter.length > 0,
    true,
  );
  assert.match(stderr, /built-in demo voice/);
  for (const stage of ['load', 'semantic', 'coarse', 'fine', 'codec'])
    assert.match(stderr, new RegExp(`^${stage} +\\d+\\.\\d\\d s  `, 'm'));
  assert.match(stderr, /^semantic .* 12 tokens, [\d.]+\/s$/m);
  assert.match(stderr, /real-time factor/);

  const device = await testDevice();
  const model = await BarkModel.fromPretrained(undefined, { device });
  const inputs = await (await BarkProcessor.fromPretrained()).encode('hello.', { voicePreset: 'demo/ada' });
  const output = await model.generate(inputs, { seed: 7, semantic: { maxNewTokens: 12 } });
  assert.equal(told.tokens.semantic, [...output.tokens[0]!.semantic]);
  assert.equal(told.tokens.fine.flat(), [...output.tokens[0]!.fine]);
  model.dispose();
});

test('--greedy draws nothing: two seeds, the same tokens. Text from standard input is played, or kept where nothing can play', async () => {
  // The only players on these PATHs: none, and two of which the first finds no sound device.
  const players = join(folder, 'players');
  mkdirSync(players);
  writeFileSync(join(players, 'paplay'), '#!/bin/sh\nexit 1\n', { mode: 0o755 });
  writeFileSync(join(players, 'aplay'), '#!/bin/sh\nexec /bin/cat "$2" > played.wav\n', { mode: 0o755 });
  const runs =
    process.platform === 'linux'
      ? ([
          ['1', '', 'bark.wav'],
          ['2', players, null],
        ] as const)
      : ([
          ['1', '', 'bark.wav'],
          ['2', '', 'bark.wav'],
        ] as const);
  const tokens = await Promise.all(
    runs.map(async ([seed, PATH, output]) => {
      const { code, stdout, stderr } = await bark(
        ['--json', '--greedy', '--offload', '--max-new-tokens', '6', '--seed', seed],
        { stdin: 'hello.\n', env: { PATH } },
      );
      assert.is(code, 0, stderr);
      const told = JSON.parse(stdout.toString());
      assert.is(told.output, output);
      assert.is(told.memory.owners['semantic.weights'].current, 0);
      return told.tokens as unknown;
    }),
  );
  assert.equal(tokens[0], tokens[1]);
  const kept = readFileSync(join(folder, 'bark.wav'));
  readWav(kept);
  if (process.platform === 'linux') assert.equal(readFileSync(join(folder, 'played.wav')), kept);
});

test('an interrupt ends soon, with 130 and no file', async () => {
  let at = 0;
  const text = 'one two three four five six seven eight nine ten eleven twelve.';
  const result = await bark(['-o', 'never.wav', text], {
    watch(stderr, kill) {
      if (at > 0 || !/^load /m.test(stderr)) return;
      at = performance.now();
      kill('SIGINT');
    },
  });
  const took = performance.now() - at;
  assert.is(result.code, 130, result.stderr);
  assert.ok(at > 0 && took < 2000, `${took} ms`);
  assert.not.match(result.stderr, /error:/);
  assert.not.match(result.stderr, STACK);
  assert.equal(
    readdirSync(folder).filter((name) => name.includes('never')),
    [],
  );
});

test('a reader that leaves is no error', async () => {
  const result = await bark(['voices'], { started: (_kill, closeOutput) => closeOutput() });
  assert.is(result.code, 0, result.stderr);
  assert.is(result.stderr, '');
});

test('voices by language', async () => {
  const model = join(folder, 'voices');
  mkdirSync(model);
  writeFileSync(join(model, 'tokenizer.json'), readFileSync(join(DEMO, 'tokenizer.json')));
  const paths = { semantic_prompt: 's.npy', coarse_prompt: 'c.npy', fine_prompt: 'f.npy' };
  const names = ['announcer', 'v2/de_speaker_1', 'v2/en_speaker_6', 'de_speaker_1'];
  writeFileSync(
    join(model, 'speaker_embeddings_path.json'),
    JSON.stringify({ repo_or_path: 'x', ...Object.fromEntries(names.map((name) => [name, paths])) }),
  );
  const [text, json] = await Promise.all([
    bark(['voices', '-m', 'voices']),
    bark(['voices', '-m', 'voices', '--json']),
  ]);
  assert.is(
    text.stdout.toString(),
    'English\n  v2/en_speaker_6\n\nGerman\n  v2/de_speaker_1  de_speaker_1\n\nOther\n  announcer\n',
  );
  assert.equal(JSON.parse(json.stdout.toString())[1], { name: 'v2/de_speaker_1', language: 'de' });
});

test('convert writes a folder, once; its report on standard output', async () => {
  const { code, stdout, stderr } = await bark(['convert', DEMO, 'converted', '--json']);
  assert.is(code, 0, stderr);
  const report = JSON.parse(stdout.toString());
  assert.equal(
    [report.folder, report.missing, report.tensors > 100, report.bytes > 1e6],
    ['converted', [], true, true],
  );
  assert.match(stderr, /^convert   model\.safetensors  [\d.]+ MB in /m);
  for (const warning of report.warnings) assert.ok(stderr.includes(`warning: ${warning}`), warning);
  const [voices] = await Promise.all([
    bark(['voices', '-m', 'converted', '--json']),
    // Nothing listens there: had it been asked first, the error would be another.
    expectError(['convert', 'org/demo', 'converted'], 2, /converted: got a folder that is not empty.*--force/, {
      env: { HF_ENDPOINT: 'http://127.0.0.1:1' },
    }),
    expectError(
      ['convert', 'org/demo', 'converted/config.json/x'],
      2,
      /which is a file, expected a folder to write into/,
      { env: { HF_ENDPOINT: 'http://127.0.0.1:1' } },
    ),
  ]);
  assert.is(JSON.parse(voices.stdout.toString()).length, 2);
  const forced = await bark(['convert', DEMO, 'converted', '--force', '--no-voices', '--quiet', '--dtype', 'float32']);
  assert.is(forced.code, 0, forced.stderr);
  assert.is(forced.stdout.length, 0);
  assert.not.match(forced.stderr, /^convert/m);
  assert.is(existsSync(join(folder, 'converted', 'speaker_embeddings_path.json')), false);
});

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

test('bench: its help, its errors, a suite that it passes on, and the end that it comes to', async () => {
  const [help, device] = await Promise.all([
    bark(['bench', '--help']),
    bark(['bench', 'device', '--quick', '--json', '--repeats', '1']),
    expectError(['bench', '--repeats', '0'], 2, /--repeats: got "0"/),
    expectError(['bench', 'kernel'], 2, /bench: got the suite 'kernel', expected .*kernels or /),
    expectError(['bench', 'peers'], 2, /bench: got the suite 'peers'.*only the repository has/),
    expectError(['bench', '--model', 'huge'], 2, /--model: got 'huge', expected small, large, tiny or a path/),
  ]);
  assert.is(help.code, 0, help.stderr);
  for (const part of ['Usage: bark bench', '--tune', 'BARK_TUNING', '\n  kernels ', '\n  decode '])
    assert.ok(help.stdout.includes(part), part);
  assert.is(device.code, 0, device.stderr);
  const results = device.stdout
    .toString()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.ok(
    results.length > 5 && results.every(({ suite, adapter, variant }) => suite === 'device' && adapter && variant),
  );
  const failed = await bark(['bench', 'load', '--quick', '--model', './absent']);
  assert.is(failed.code, 1, failed.stderr);
});

test('an interrupted --tune writes nothing; what was remembered is in doctor', async () => {
  const file = join(folder, 'tuning', 'tuning.json');
  const env = { BARK_TUNING: file };
  let at = 0;
  const result = await bark(['bench', '--tune'], {
    env,
    watch(stderr, kill) {
      if (at > 0 || !/^tune: /m.test(stderr)) return;
      at = performance.now();
      kill('SIGINT');
    },
  });
  const took = performance.now() - at;
  assert.is(result.code, 130, result.stderr);
  assert.ok(at > 0 && took < 2000, `${took} ms`);
  assert.equal(readdirSync(join(file, '..')), []);
  const before = process.env['BARK_TUNING'];
  process.env['BARK_TUNING'] = file;
  await rememberTuning((await testDevice()).info, { gemvBatch: 2 }).finally(() => {
    if (before === undefined) delete process.env['BARK_TUNING'];
    else process.env['BARK_TUNING'] = before;
  });
  const [text, json, off] = await Promise.all([
    bark(['doctor'], { env }),
    bark(['doctor', '--json'], { env }),
    bark(['doctor'], { env: { BARK_TUNING: 'off' } }),
  ]);
  assert.match(text.stdout.toString(), /^tuning +gemvBatch 2, measured \d{4}-\d\d-\d\d, .*tuning\.json$/m);
  const { tuning } = JSON.parse(json.stdout.toString());
  assert.equal([tuning.tuning, tuning.file], [{ gemvBatch: 2 }, file]);
  assert.match(off.stdout.toString(), /^tuning +none in use/m);
});

test('without an adapter the reason is told; doctor tells the rest', async () => {
  if (process.platform !== 'linux') return console.log('skip: only Linux lets a test hide the drivers');
  const env = { VK_DRIVER_FILES: '/absent.json', VK_ICD_FILENAMES: '/absent.json' };
  const [, none, some] = await Promise.all([
    expectError(['hello.'], 1, /got no adapter, expected a GPU or a software driver\. Install a Vulkan driver/, {
      env,
    }),
    bark(['doctor'], { env }),
    bark(['doctor', '--json'], { env: { HF_TOKEN: 'hf_secret', HF_HUB_OFFLINE: '1' } }),
  ]);
  assert.is(none.code, 1);
  assert.match(none.stdout.toString(), /^adapter +none$/m);
  assert.match(none.stdout.toString(), /^problem +WebGPU: got no adapter/m);
  const found = JSON.parse(some.stdout.toString());
  assert.is(some.code, 0, some.stdout.toString());
  assert.is(found.ok, true);
  assert.match(found.selfTest, /is exact/);
  assert.equal(
    [found.hub.cache, found.hub.token, found.hub.offline, found.hub.problem],
    [join(folder, 'hf', 'hub'), true, true, null],
  );
  assert.ok(found.hub.free > 0);
  assert.not.match(some.stdout.toString(), /secret/);
  assert.match(none.stdout.toString(), /^Hub +.*hub, .* free; token no; online$/m);
  assert.ok(found.limits.maxBufferSize > 0 && found.features.length > 0);
});

test.run();

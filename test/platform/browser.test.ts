// The package's file for browsers in a real one, Chromium, without WebGPU: the processor speaks,
// with the tokens of transformers and, by a seed, those that Node gives; with threads that share
// memory and with one that has its own, in a page and in a Worker, and under a policy that allows
// just what is needed. A policy that forbids it is told in an error. Where no Chromium is installed
// this is skipped.
// Needs: no device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BarkModel, BarkProcessor, Device } from '../../bark/index.ts';
import { f32, readFixture, u16, type DemoFixture } from '../fixtures/fixture.ts';
import { chromium } from '../profiles.ts';
import { Browser, type Page } from './browser.ts';
import type { Failed, Report, Sentence, Spoken } from './browser_page.ts';

const test = suite('browser');

const TEXT = 'good morning.';
const PRESET = 'demo/ada_2';
const SENTENCE: Sentence = { text: TEXT, preset: PRESET, seed: 7 };
/** What an event loop may be late, on a machine whose cores are all busy. */
const MOST_DELAY = 300;
const ISOLATED = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };
const policy = (text: string) => ({ 'Content-Security-Policy': `default-src 'self'; ${text}` });

const executable = chromium();
if (!executable) {
  // before uvu's own line begins, so that the runner sees a line of its own
  console.log("skipped: no Chromium, expected one or Chrome. On Debian 'apt-get install chromium' installs it.");
  test('not installed', () => {});
} else {
  let browser: Browser;
  let inNode: Spoken['seeded'];

  test.before(async () => {
    browser = await Browser.start(executable, SENTENCE);
    using device = await Device.request({ backend: 'wasm' });
    const processor = await BarkProcessor.fromPretrained();
    using model = await BarkModel.fromPretrained(undefined, { device });
    const inputs = await processor.encode(TEXT, { voicePreset: PRESET });
    const { semantic, coarse, fine } = (await model.generate(inputs, { seed: SENTENCE.seed })).tokens[0]!;
    inNode = { semantic: [...semantic], coarse: [...coarse], fine: [...fine] };
  });
  test.after(() => browser.close());

  /** Sends the browser to a page that must speak, and compares. */
  async function speaks(name: string, page: Page): Promise<Spoken> {
    const report = (await browser.visit(name, page)) as Report & Spoken & Partial<Failed>;
    assert.is(report.error, undefined, report.error);
    const { greedy, seeded, kind, warnings, delays } = report;
    assert.is(kind, 'wasm');
    assert.match(warnings.join('\n'), /^No GPU was found, so the processor computes: /);
    const run = readFixture<DemoFixture>('demo_voice').runs.find(
      ({ text, preset }) => text === TEXT && preset === PRESET,
    )!;
    assert.equal(greedy.semantic, [...u16(run.semantic)]);
    assert.equal(greedy.fine, [...u16(run.fine)]);
    const wanted = f32(run.audio!);
    assert.is(greedy.audio.length, wanted.length);
    const worst = wanted.reduce((most, x, i) => Math.max(most, Math.abs(x - greedy.audio[i]!)), 0);
    assert.ok(worst <= 1e-4, `audio is off by ${worst}`);
    for (const tokens of ['semantic', 'coarse', 'fine'] as const) assert.equal(seeded[tokens], inNode[tokens], tokens);
    console.log(
      `${name}: ${report.name}; ${report.seconds.toFixed(1)} s; ms that a timer was late: ${JSON.stringify(delays)}`,
    );
    assert.ok(delays.speaking! <= MOST_DELAY, `the page's timer was late by ${delays.speaking} ms`);
    return report;
  }

  /** Sends it to one that cannot, and gives the error. */
  async function refuses(name: string, page: Page): Promise<string> {
    const { error, code, seconds } = (await browser.visit(name, page, 20)) as Report & Failed;
    assert.is(code, 'ERR_UNSUPPORTED', error);
    console.log(`${name}: after ${seconds.toFixed(1)} s ${error}`);
    return error;
  }

  test('an isolated page: threads that share memory', async () => {
    const { isolated, warnings } = await speaks('isolated', { headers: ISOLATED });
    assert.ok(isolated);
    assert.not.match(warnings.join('\n'), /one thread/);
  });

  test('any other page: one thread with a memory of its own', async () => {
    const { isolated, name, warnings } = await speaks('alone', { headers: {} });
    assert.not.ok(isolated);
    assert.match(name, /, 1 thread/);
    assert.match(warnings.join('\n'), /one thread only.* Cross-Origin-Opener-Policy: same-origin/);
  });

  test("a page's own Worker", async () => {
    assert.ok((await speaks('worker', { headers: ISOLATED, worker: true })).isolated);
  });

  test('a policy that allows no more than is needed', async () => {
    const headers = policy("script-src 'self' 'wasm-unsafe-eval'; worker-src blob:");
    await speaks('policy', { headers: { ...ISOLATED, ...headers } });
  });

  for (const [isolated, headers] of [
    ['isolated', ISOLATED],
    ['alone', {}],
  ] as const) {
    test(`a policy without WebAssembly, ${isolated}`, async () => {
      const forbids = policy("script-src 'self'; worker-src blob:");
      const error = await refuses(`no-wasm-${isolated}`, { headers: { ...headers, ...forbids } });
      assert.match(error, /Allow script-src 'wasm-unsafe-eval' in its Content-Security-Policy/);
    });

    test(`a policy without Workers of a blob, ${isolated}`, async () => {
      const forbids = policy("script-src 'self' 'wasm-unsafe-eval'");
      const error = await refuses(`no-blob-${isolated}`, { headers: { ...headers, ...forbids } });
      assert.match(error, /Allow worker-src blob: in its Content-Security-Policy/);
    });
  }
}

test.run();

// What browser.test.ts runs in Chromium: a page that speaks one sentence twice with the built-in
// voice, itself or in a Worker of its own, watches meanwhile whether its event loop stays free, and
// sends what came of it to the server. The server bundles this file and serves it as ./page.js; the
// library is the file that the package has for browsers.

import type * as Library from '../../bark/index.ts';

export interface Sentence {
  readonly text: string;
  readonly preset: string;
  readonly seed: number;
}

/** What `generate` is asked for: the likeliest tokens with f32 weights, and then by a seed with f16. */
export interface Spoken {
  readonly greedy: { semantic: number[]; coarse: number[]; fine: number[]; audio: number[] };
  readonly seeded: { semantic: number[]; coarse: number[]; fine: number[] };
  readonly kind: string;
  readonly name: string;
  readonly warnings: readonly string[];
  readonly isolated: boolean;
}

export interface Failed {
  readonly error: string;
  readonly code: string | undefined;
}

/** `delays`: by how much a timer of 10 ms was late at most, in ms. */
export type Report = (Spoken | Failed) & {
  readonly seconds: number;
  readonly delays: Readonly<Record<string, number>>;
};

const inWorker = typeof document === 'undefined';
const place = new URL('./', location.href);
let stage = 'loading';

function tell(now: string): void {
  stage = now;
  if (inWorker) postMessage({ stage });
}

async function speak({ text, preset, seed }: Sentence): Promise<Spoken> {
  const { BarkModel, BarkProcessor } = (await import(new URL('dist/browser/index.js', place).href)) as typeof Library;
  const processor = await BarkProcessor.fromPretrained();
  const inputs = await processor.encode(text, { voicePreset: preset });
  const say = async (dtype: 'float16' | 'float32', options: Library.GenerateOptions) => {
    tell('loading');
    const model = await BarkModel.fromPretrained(undefined, { dtype });
    tell('speaking');
    const { tokens, audio } = await model.generate(inputs, options);
    tell('loading');
    const { device } = model;
    model.dispose();
    const { semantic, coarse, fine } = tokens[0]!;
    return {
      device,
      row: { semantic: [...semantic], coarse: [...coarse], fine: [...fine], audio: [...audio[0]!.data] },
    };
  };
  const greedy = await say('float32', { doSample: false, minEosP: null, fine: { temperature: null } });
  const seeded = await say('float16', { seed });
  const { kind, name, warnings } = greedy.device;
  return { greedy: greedy.row, seeded: { ...seeded.row }, kind, name, warnings, isolated: crossOriginIsolated };
}

async function trial(sentence: Sentence): Promise<Spoken | Failed> {
  try {
    return await speak(sentence);
  } catch (error) {
    const { name, message, code } = error as Error & { code?: string };
    return { error: `${name}: ${message}`, code };
  }
}

/** The same in a Worker. */
function trialElsewhere(sentence: Sentence): Promise<Spoken | Failed> {
  const worker = new Worker(new URL('page.js', place), { type: 'module' });
  return new Promise((resolve) => {
    worker.onmessage = ({ data }: MessageEvent<{ stage?: string; done?: Spoken | Failed }>) => {
      if (data.stage) stage = data.stage;
      if (data.done) resolve(data.done);
    };
    worker.onerror = ({ message }) => resolve({ error: `The page's own Worker: ${message}`, code: undefined });
    worker.postMessage(sentence);
  });
}

async function page(): Promise<void> {
  const { worker, ...sentence } = (await (await fetch(new URL('sentence', place))).json()) as Sentence & {
    worker: boolean;
  };
  const delays: Record<string, number> = {};
  const start = performance.now();
  let due = start + 10;
  setInterval(() => {
    const now = performance.now();
    delays[stage] = Math.max(delays[stage] ?? 0, Math.round(now - due));
    due = now + 10;
  }, 10);
  const done = await (worker ? trialElsewhere : trial)(sentence);
  const report: Report = { ...done, seconds: (performance.now() - start) / 1000, delays };
  // The answer comes when there is another page to see.
  const next = await fetch(new URL('report', place), { method: 'POST', body: JSON.stringify(report) });
  location.href = await next.text();
}

if (inWorker) onmessage = async ({ data }: MessageEvent<Sentence>) => postMessage({ done: await trial(data) });
else void page();

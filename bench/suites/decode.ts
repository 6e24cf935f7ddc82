// The suite `decode`: one token of every sentence, as the semantic and the coarse stage make it.
// Counters and bytes are exact on any machine. Before a time counts, the tokens that the step draws
// greedily are those that `forward`, another path through other kernels, finds likeliest.

import type { BarkCausalModel } from '../../bark/gpt/causal.ts';
import { BarkCoarseModel } from '../../bark/coarse.ts';
import type { CausalGpt } from '../../bark/gpt/gpt.ts';
import { BarkSemanticModel } from '../../bark/semantic.ts';
import { createSession, type Session, type SessionOptions } from '../../bark/gpt/session.ts';
import type { TokenWindow } from '../../kernels/sample/sample.ts';
import { writeRow } from '../../kernels/state.ts';
import { Device, type Counters } from '../../runtime/compute/device.ts';
import { basisMs, copyBandwidth, measure, variantOf } from '../measure/gpu_time.ts';
import { median, rounded, type BenchOptions, type Result, type Suite } from '../measure/harness.ts';
import { openBenchModel, type BenchModel } from '../model/synthetic.ts';
import { stepTraffic, watched, type Recorded } from '../measure/traffic.ts';

const BATCHES = [1, 2, 4, 8];
const CONTEXTS = [300, 900];
const QUICK_LAYERS = 2;
const CHECKED = 4; // tokens that are compared, of each sentence
const QUICK_PROMPT = 40; // positions of the prompt of a quick check

/**
 * A causal stage as the bench holds it: `use` is for the stages themselves, and what they hold on
 * the GPU nobody else's business.
 */
export interface Stage {
  readonly name: 'semantic' | 'coarse';
  readonly model: BarkCausalModel;
  /** Tokens of one submit, as the stage has them. */
  readonly steps: number;
  /** What the stage gives to its sessions. */
  readonly drawing: Pick<SessionOptions, 'window'> & { even: TokenWindow; odd: TokenWindow };
  use<R>(run: (gpt: CausalGpt) => Promise<R>): Promise<R>;
}

export function stagesOf(
  device: Device,
  { config, generation, weights }: BenchModel,
  dtype: 'float16' | 'float32',
): Stage[] {
  const at = (path: string) => ({
    device,
    weights: weights.at(path),
    dtype: dtype === 'float16' ? ('f16' as const) : ('f32' as const),
  });
  const semantic = new BarkSemanticModel(at('semantic'), config.semantic_config, generation.semantic_config);
  const coarse = new BarkCoarseModel(at('coarse_acoustics'), config.coarse_acoustics_config, generation);
  const use =
    (model: object) =>
    <R>(run: (gpt: CausalGpt) => Promise<R>) =>
      (model as { use(run: (gpt: CausalGpt) => Promise<R>): Promise<R> }).use(run);
  const { semantic_vocab_size, eos_token_id } = generation.semantic_config;
  const every = { first: 0, count: Math.min(eos_token_id, semantic_vocab_size) + 1 };
  const size = generation.codebook_size;
  return [
    { name: 'semantic', model: semantic, steps: 16, use: use(semantic), drawing: { even: every, odd: every } },
    {
      name: 'coarse',
      model: coarse,
      steps: 20,
      use: use(coarse),
      drawing: {
        window: { even: 0, odd: size, count: size },
        even: { first: semantic_vocab_size, count: size },
        odd: { first: semantic_vocab_size + size, count: size },
      },
    },
  ];
}

/** A session of the stage that never ends a sentence; `greedy` draws the likeliest token. */
export function sessionOf(
  device: Device,
  gpt: CausalGpt,
  stage: Stage,
  batch: number,
  { greedy, prompt, pitch }: { greedy: boolean; prompt: number; pitch: number },
): Promise<Session> {
  const { even, odd, window } = stage.drawing;
  const draw = greedy ? { temperature: null, topK: null, topP: null } : { temperature: 0.7, topK: 50, topP: null };
  return createSession(device, gpt, {
    owner: `bench ${stage.name}`,
    batch,
    prompt,
    pitch,
    sampling: { ...draw, minEosP: null, eos: null, even, odd },
    ...(window && { window }),
  });
}

/** Ids that any stage can be fed, other ones for each sentence. */
export const promptIds = (length: number, sentence: number): Uint32Array<ArrayBuffer> =>
  Uint32Array.from({ length }, (_, i) => (7 + 131 * i + 1009 * sentence + ((i * i) % 97)) % 10000);

/**
 * Throws unless the step's greedy tokens of these sentences are the likeliest of `forward` over the
 * same tokens, or within rounding of it.
 */
export async function checkStep(
  device: Device,
  gpt: CausalGpt,
  stage: Stage,
  batch: number,
  length: number,
  sentences: readonly number[],
): Promise<void> {
  const session = await sessionOf(device, gpt, stage, batch, { greedy: true, prompt: length - 1, pitch: CHECKED });
  try {
    for (let b = 0; b < batch; b++) {
      const ids = promptIds(length, b);
      device.write(session.promptIds, ids.subarray(0, length - 1));
      session.prefill(b, length - 1);
      writeRow(device, session.state, b, {
        token: ids[length - 1]!,
        position: length - 1,
        step: 0,
        done: false,
        seed: [b, 1],
        limit: CHECKED,
        base: 0,
      });
    }
    session.step.run(CHECKED);
    const drawn = new Uint32Array(await device.read(session.tokens));
    for (const b of sentences) {
      const own = drawn.subarray(b * CHECKED, (b + 1) * CHECKED);
      const { logits } = await stage.model.forward({
        inputIds: {
          data: [...promptIds(length, b), ...own.subarray(0, CHECKED - 1)],
          shape: [1, length + CHECKED - 1],
        },
      });
      const V = logits.shape[2]!;
      for (let i = 0; i < CHECKED; i++) {
        const { first, count } = i % 2 === 0 ? stage.drawing.even : stage.drawing.odd;
        const row = logits.data.subarray((length - 1 + i) * V + first, (length - 1 + i) * V + first + count);
        const top = row.reduce((a, v) => Math.max(a, v), -Infinity);
        const spread = Math.sqrt(row.reduce((sum, v) => sum + v * v, 0) / count);
        const got = row[own[i]! - first];
        if (!(got !== undefined && top - got <= 5e-3 * spread)) {
          throw new Error(
            `decode, ${stage.name}, batch ${batch}: sentence ${b} drew token ${own[i]} at step ${i}, expected ${first + row.indexOf(top)}: its logit is ${top}, that of the drawn one ${got}.`,
          );
        }
      }
    }
  } finally {
    session.dispose();
  }
}

const COUNTED = [
  'dispatches',
  'bindGroups',
  'buffers',
  'pipelines',
  'readbacks',
  'uploads',
  'submits',
] as const satisfies readonly (keyof Counters)[];

/** Puts every sentence at `position`, with nothing drawn yet. */
function rewind(device: Device, session: Session, batch: number, position: number): void {
  for (let b = 0; b < batch; b++)
    writeRow(device, session.state, b, {
      token: 11 + b,
      position,
      step: 0,
      done: false,
      seed: [b, 7],
      limit: 1 << 30,
      base: 0,
    });
}

async function measureStep(
  device: Device,
  stage: Stage,
  session: Session,
  recorded: readonly Recorded[],
  batch: number,
  context: number,
  copyGBps: number,
  options: BenchOptions,
): Promise<Record<string, number | null>> {
  const steps = options.quick ? 4 : stage.steps;
  const position = context - steps / 2; // so that the mean over the submit is `context`
  const submit = (): number => {
    rewind(device, session, batch, position);
    const start = performance.now();
    session.step.run(steps);
    return (performance.now() - start) / steps;
  };
  submit();
  await device.settle();
  // Steady state: what one more submit costs, in counters and on the host's thread. Not stamped:
  // stamps are passes as well.
  rewind(device, session, batch, position);
  const before = { ...device.counters };
  const start = performance.now();
  session.step.run(steps);
  const encode = [(performance.now() - start) / steps];
  const per = Object.fromEntries(
    COUNTED.map((name) => [name, (device.counters[name] - before[name]) / steps]),
  ) as Record<(typeof COUNTED)[number], number>;
  await device.settle();
  for (let time = 1; !options.quick && time < options.repeats; time++) {
    encode.push(submit());
    await device.settle();
  }
  const time = await measure(device, () => void submit(), {
    repeats: options.repeats,
    budgetMs: options.quick ? 300 : 10_000,
    times: 1,
  });
  const { bytes, needed, weights, cache } = stepTraffic(recorded, batch, context);
  const ms = time.ms / steps;
  // A submit is too short for the GPU's clock to say what a token takes from the host's side as
  // well: here the clock counts.
  const rate = bytes / (basisMs(device, { ...time, gpuMs: null }) / steps) / 1e6;
  const gpuMs = time.gpuMs === null ? null : time.gpuMs / steps;
  return {
    batch,
    context,
    runs: time.runs,
    msPerToken: rounded(ms, 3),
    gpuMsPerToken: gpuMs === null ? null : rounded(gpuMs, 3),
    cpuMsPerToken: rounded(time.cpuMs / steps, 3),
    encodeMsPerToken: rounded(median(encode), 4),
    dispatchesPerToken: per.dispatches,
    bindGroupsPerToken: per.bindGroups,
    buffersPerToken: per.buffers,
    pipelinesPerToken: per.pipelines,
    readbacksPerToken: per.readbacks,
    uploadsPerToken: per.uploads,
    submitsPerToken: per.submits,
    bytesPerToken: bytes,
    neededBytesPerToken: needed,
    bytesRatio: rounded(bytes / needed, 4),
    weightBytesPerToken: weights,
    cacheBytesPerToken: cache,
    GBps: rounded(rate, 2),
    copyGBps: rounded(copyGBps, 2),
    bandwidthRatio: rounded(rate / copyGBps, 3),
  };
}

/** What `run` varies; a test asks for less. */
export interface DecodeCases {
  readonly batches: readonly number[];
  readonly contexts: readonly number[];
}

export async function runDecode(
  options: BenchOptions,
  emit: (result: Result) => void,
  note: (text: string) => void,
  { batches, contexts }: DecodeCases = { batches: BATCHES, contexts: CONTEXTS },
): Promise<void> {
  const model = await openBenchModel(options, QUICK_LAYERS);
  const device = await Device.request();
  try {
    const copyGBps = await copyBandwidth(device, options);
    for (const dtype of options.dtype
      ? [options.dtype]
      : options.quick
        ? (['float16'] as const)
        : (['float16', 'float32'] as const)) {
      for (const stage of stagesOf(device, model, dtype)) {
        note(`decode: ${options.model}, ${model.layers} layers, ${dtype}, ${stage.name}`);
        await stage.use(async (gpt) => {
          for (const batch of batches) {
            const sentences = options.quick ? [...new Set([0, batch - 1])] : Array.from({ length: batch }, (_, b) => b);
            for (const length of options.quick ? [QUICK_PROMPT] : contexts)
              await checkStep(device, gpt, stage, batch, length, sentences);
            const { value: session, programs } = await watched(() =>
              sessionOf(device, gpt, stage, batch, { greedy: false, prompt: 1, pitch: 2 * stage.steps }),
            );
            try {
              for (const context of contexts) {
                const fields = await measureStep(
                  device,
                  stage,
                  session,
                  programs[0]!,
                  batch,
                  context,
                  copyGBps,
                  options,
                );
                emit({
                  suite: 'decode',
                  model: options.model,
                  layers: model.layers,
                  adapter: device.name,
                  dtype,
                  variant: variantOf(device),
                  stage: stage.name,
                  ...fields,
                });
              }
            } finally {
              session.dispose();
            }
          }
        });
        stage.model.unload();
      }
    }
  } finally {
    device.dispose();
    await model.close();
  }
}

export const decode: Suite = {
  name: 'decode',
  about: 'one token of each sentence: time, counters, and bytes against what must be read',
  columns: [
    'stage',
    'model',
    'layers',
    'dtype',
    'batch',
    'context',
    'msPerToken',
    'gpuMsPerToken',
    'cpuMsPerToken',
    'encodeMsPerToken',
    'dispatchesPerToken',
    'bindGroupsPerToken',
    'buffersPerToken',
    'readbacksPerToken',
    'bytesPerToken',
    'bytesRatio',
    'GBps',
    'bandwidthRatio',
  ],
  run: (options, emit, note) => runDecode(options, emit, note),
};

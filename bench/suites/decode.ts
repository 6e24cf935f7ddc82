// The suite `decode`: one decode step of the semantic and of the coarse stage, which draws one
// token for each sentence of the batch. Times depend on the machine; counters and bytes are exact
// on any.
// The step is checked before it is timed (decode_check.ts).

import type { Session } from '../../bark/gpt/session.ts';
import { writeRow } from '../../kernels/state.ts';
import type { Device } from '../../runtime/compute/device.ts';
import type { Counters } from '../../runtime/compute/ledger.ts';
import { basisMs, copyBandwidth, measure, variantOf } from '../measure/gpu_time.ts';
import { median, rounded, type BenchOptions, type Result, type Suite } from '../measure/harness.ts';
import { machineOf, requestDevice } from '../measure/machine.ts';
import { openBenchModel } from '../model/synthetic.ts';
import { stepTraffic, watched, type Recorded } from '../measure/traffic.ts';
import { QUICK_PROMPT, type Stage, stagesOf, sessionOf, checkStep } from './decode_check.ts';

const BATCHES = [1, 2, 4, 8];
const CONTEXTS = [300, 900];
const QUICK_LAYERS = 2;
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
  const position = context - steps / 2; // then the mean context over the submit is `context`
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

/** The batch sizes and contexts that are measured; tests use fewer. */
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
  const device = await requestDevice(options);
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
                  ...machineOf(device),
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
  about: 'one decode step: time, counters, and bytes moved compared with bytes that must be moved',
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

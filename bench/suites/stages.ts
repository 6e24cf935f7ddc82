// The suite `stages`: the parts of a sentence that work on many rows at once, through the models'
// own code: prefill, a pass of the fine model, the codec. Checked before they are timed: a prefill
// must leave the same KV cache as decode steps over the same tokens; each code of a fine pass must
// have the largest logit in `forward`; the first frames of audio must equal the decoder computed in
// f64.

import { BarkFineModel } from '../../bark/fine.ts';
import type { CausalGpt, KvCache } from '../../bark/gpt/gpt.ts';
import { writeRow } from '../../kernels/state.ts';
import type { Device } from '../../runtime/compute/device.ts';
import { float16ToFloat32 } from '../../runtime/base/half.ts';
import {
  basisMs,
  cpuMs,
  gpuTimed,
  measure,
  medianTiming,
  numbers,
  variantOf,
  type Timing,
} from '../measure/gpu_time.ts';
import { rounded, type BenchOptions, type Result, type Suite } from '../measure/harness.ts';
import { machineOf, requestDevice } from '../measure/machine.ts';
import { openBenchModel, type BenchModel } from '../model/synthetic.ts';
import { promptIds, sessionOf, stagesOf, type Stage } from './decode_check.ts';
import { codec } from './codec_stage.ts';

const PREFILLS = { semantic: 257, coarse: 887 } as const;
// a prefill's last layer computes only keys and values, so it needs a second
const QUICK_LAYERS = { prefill: 2, fine: 1 };
const QUICK_PROMPT = 40;

/**
 * Compares sentence 0 of a cache, which a prefill wrote, with sentence 1, which decode steps wrote.
 * Returns the largest difference relative to the root mean square; throws if it is too large.
 */
async function compareCaches(device: Device, cache: KvCache, positions: number, what: string): Promise<number> {
  let worst = 0;
  for (const [n, layer] of cache.entries()) {
    for (const [name, t] of Object.entries(layer)) {
      const [, heads, capacity, D] = t.shape as [number, number, number, number];
      const bytes = await device.read(t);
      const values = t.dtype === 'f16' ? float16ToFloat32(new Uint16Array(bytes)) : new Float32Array(bytes);
      let [squares, most] = [0, 0];
      for (let h = 0; h < heads; h++) {
        for (let i = 0; i < positions * D; i++) {
          const [a, b] = [values[h * capacity * D + i]!, values[(heads + h) * capacity * D + i]!];
          squares += b * b;
          most = Number.isNaN(a - b) ? Infinity : Math.max(most, Math.abs(a - b));
        }
      }
      const relative = most / Math.sqrt(squares / (heads * positions * D));
      const allowed = t.dtype === 'f16' ? 2e-2 : 1e-3; // a few units in the last place of f16, grown through the layers
      if (!(relative <= allowed))
        throw new Error(
          `${what}: ${name} of layer ${n} differ by ${relative} of their mean square between prefill and decode steps, expected at most ${allowed}.`,
        );
      worst = Math.max(worst, relative);
    }
  }
  return worst;
}

async function checkPrefill(device: Device, gpt: CausalGpt, stage: Stage, length: number): Promise<number> {
  const session = await sessionOf(device, gpt, stage, 2, { greedy: true, prompt: length, pitch: 1 });
  try {
    const ids = promptIds(length, 3);
    const row = { position: 0, step: 0, seed: [1, 2] as const, limit: 1 << 30, base: 0 };
    device.write(session.promptIds, ids);
    session.prefill(0, length);
    writeRow(device, session.state, 0, { ...row, token: 0, done: true });
    for (let t = 0; t < length; t++) {
      writeRow(device, session.state, 1, { ...row, token: ids[t]!, position: t, done: false });
      session.step.run();
    }
    return await compareCaches(device, session.cache, length, `prefill, ${stage.name}`);
  } finally {
    session.dispose();
  }
}

async function prefill(
  device: Device,
  gpt: CausalGpt,
  stage: Stage,
  options: BenchOptions,
): Promise<Record<string, string | number | null>> {
  const M = PREFILLS[stage.name];
  const { hidden_size: H, num_layers } = gpt.config;
  const worst = await checkPrefill(device, gpt, stage, options.quick ? QUICK_PROMPT : M);
  const session = await sessionOf(device, gpt, stage, 1, { greedy: true, prompt: M, pitch: 1 });
  try {
    device.write(session.promptIds, promptIds(M, 0));
    // the check compiled the kernels; this first run warms everything else up
    if (!options.quick) session.prefill(0, M);
    const run = (times: number): void => {
      for (let i = 0; i < times; i++) session.prefill(0, M);
    };
    const time = await measure(device, run, {
      repeats: options.repeats,
      budgetMs: options.quick ? 1000 : 20_000,
      ...(options.quick && { times: 1 }),
    });
    // In the last layer only keys and values are computed.
    const flops = (num_layers - 1) * (24 * M * H * H + 2 * M * (M + 1) * H) + 6 * M * H * H;
    return {
      stage: `${stage.name} prefill`,
      rows: M,
      ...numbers(time),
      flops,
      TFLOPps: rounded(flops / basisMs(device, time) / 1e9, 5),
      checkedRows: options.quick ? QUICK_PROMPT : M,
      worstError: Number(worst.toPrecision(2)),
    };
  } finally {
    session.dispose();
  }
}

/**
 * Times a pass of the fine model over one window of 1,024 frames. A quick run predicts two
 * codebooks, a full one six.
 */
async function finePass(
  device: Device,
  model: BenchModel,
  dtype: 'float16' | 'float32',
  options: BenchOptions,
): Promise<Record<string, string | number | null>> {
  const { fine_acoustics_config, coarse_acoustics_config, codebook_size } = model.generation;
  const { n_coarse_codebooks: given } = coarse_acoustics_config;
  const { max_fine_input_length: M, n_fine_codebooks } = fine_acoustics_config;
  const C = options.quick ? given + 2 : n_fine_codebooks;
  const generation = { ...model.generation, fine_acoustics_config: { ...fine_acoustics_config, n_fine_codebooks: C } };
  const fine = new BarkFineModel(
    { device, weights: model.weights.at('fine_acoustics'), dtype: dtype === 'float16' ? 'f16' : 'f32' },
    model.config.fine_acoustics_config,
    generation,
  );
  try {
    await fine.upload();
    const coarse = Int32Array.from({ length: given * M }, (_, i) => (37 + 389 * i + ((i * i) % 61)) % codebook_size);
    const times: Timing[] = [];
    let codes: Int32Array | undefined;
    for (let time = 0; time < (options.quick ? 1 : options.repeats + 1); time++) {
      // end of the first pass: `onProgress` reports a pass when the next one is submitted
      let second = { ms: 0, cpuMs: 0 };
      const { gpuMs } = await gpuTimed(device, async () => {
        codes = await fine.generate(coarse, null, {
          temperature: null,
          seed: [1, 2],
          onProgress: (done) => {
            if (done === 2) second = { ms: performance.now(), cpuMs: cpuMs() };
          },
        });
        const passes = C - given - 1;
        times.push({
          ms: (performance.now() - second.ms) / passes,
          cpuMs: (cpuMs() - second.cpuMs) / passes,
          gpuMs: null,
          runs: 1,
        });
      });
      times.push({ ...times.pop()!, gpuMs: gpuMs === null ? null : gpuMs / (C - given) });
      if (time === 0) await checkFine(fine, codes!, C, M, codebook_size);
    }
    const counted = times.length > 1 ? times.slice(1) : times;
    const time = medianTiming(counted);
    const { hidden_size: H, num_layers } = model.config.fine_acoustics_config;
    const flops = num_layers * (24 * M * H * H + 4 * M * M * H) + 2 * M * codebook_size * H;
    return {
      stage: 'fine pass',
      rows: M,
      ...numbers(time),
      flops,
      TFLOPps: rounded(flops / basisMs(device, time) / 1e9, 5),
      checkedRows: M,
    };
  } finally {
    fine.unload();
  }
}

/**
 * Throws unless each code of the last codebook has the largest logit in `forward`, or one within
 * 0.5 % of it.
 */
async function checkFine(fine: BarkFineModel, codes: Int32Array, C: number, M: number, size: number): Promise<void> {
  const { n_codes_total } = fine.config;
  const last = C - 1;
  const data = Int32Array.from({ length: M * n_codes_total }, (_, i) =>
    i % n_codes_total < last ? codes[(i % n_codes_total) * M + Math.floor(i / n_codes_total)]! : size,
  );
  const { logits } = await fine.forward(last, { data, shape: [1, M, n_codes_total] });
  const V = logits.shape[2]!;
  for (let t = 0; t < M; t++) {
    const row = logits.data.subarray(t * V, t * V + size);
    const top = row.reduce((a, v) => Math.max(a, v), -Infinity);
    const got = row[codes[last * M + t]!];
    if (!(got !== undefined && top - got <= 5e-3 * Math.abs(top)))
      throw new Error(
        `fine pass: got code ${codes[last * M + t]} at frame ${t}, expected ${row.indexOf(top)}: its logit is ${top}, that of the drawn one ${got}.`,
      );
  }
}

async function runStages(
  options: BenchOptions,
  emit: (result: Result) => void,
  note: (text: string) => void,
): Promise<void> {
  const model = await openBenchModel(options, QUICK_LAYERS.prefill);
  const fineModel = await openBenchModel(options, QUICK_LAYERS.fine);
  const device = await requestDevice(options);
  const say =
    (layers: number, dtype: 'float16' | 'float32') =>
    (fields: Record<string, string | number | null>): void =>
      emit({
        suite: 'stages',
        model: options.model,
        layers,
        ...machineOf(device),
        dtype,
        variant: variantOf(device),
        ...fields,
      });
  try {
    for (const dtype of options.dtype
      ? [options.dtype]
      : options.quick
        ? (['float16'] as const)
        : (['float16', 'float32'] as const)) {
      note(`stages: ${options.model}, ${model.layers} layers, ${dtype}`);
      for (const stage of stagesOf(device, model, dtype)) {
        await stage.use(async (gpt) => say(model.layers, dtype)(await prefill(device, gpt, stage, options)));
        stage.model.unload();
      }
      say(fineModel.layers, dtype)(await finePass(device, fineModel, dtype, options));
    }
    await codec(device, model, options, say(model.layers, 'float32'));
  } finally {
    device.dispose();
    await model.close();
    await fineModel.close();
  }
}

export const stages: Suite = {
  name: 'stages',
  about: 'prefill of 257 and 887 positions, a pass of the fine model, the codec',
  columns: [
    'stage',
    'model',
    'layers',
    'dtype',
    'rows',
    'ms',
    'gpuMs',
    'cpuMs',
    'TFLOPps',
    'realTimeFactor',
    'worstError',
  ],
  run: runStages,
};

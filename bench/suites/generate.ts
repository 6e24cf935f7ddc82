// The suite `generate`: whole sentences of a fixed number of semantic tokens, through
// `BarkModel.generate`. Checked before a time is reported: greedy semantic and coarse tokens have
// the largest logit in `forward`; the first frames of audio equal their codes decoded in f64; and,
// except in a quick run, which generates one sentence only, the same seed gives the same audio
// again.

import { BarkModel } from '../../bark/model.ts';
import type { GenerateOutput } from '../../bark/output.ts';
import type { BarkInputs } from '../../bark/processor/processor.ts';
import type { Device } from '../../runtime/compute/device.ts';
import type { Counters } from '../../runtime/compute/ledger.ts';
import { checkAudio } from '../cases/codec_reference.ts';
import { cpuMs, gpuTimed, variantOf } from '../measure/gpu_time.ts';
import { median, rounded, type BenchOptions, type Result, type Suite } from '../measure/harness.ts';
import { machineOf, requestDevice } from '../measure/machine.ts';
import { openBenchModel, type BenchModel } from '../model/synthetic.ts';
import { isSoftware } from '../../runtime/compute/adapter.ts';

const QUICK_LAYERS = 1;
const TOKENS = { quick: 12, full: 256 }; // semantic tokens: 0.24 and 5.1 s of audio
const CHECKED = 4;
const SEED = 5;

/** An arbitrary text of 40 tokens. */
function textInputs(): BarkInputs {
  const width = 40;
  return {
    inputIds: Int32Array.from({ length: width }, (_, i) => 100 + 211 * i),
    attentionMask: new Int32Array(width).fill(1),
    shape: [1, width],
    warnings: [],
  };
}

const LIKELIEST = { temperature: null, topK: null, topP: null };

/**
 * Throws unless `token` has the largest of the logits [first, first + count) at a position, or one
 * within 0.5 % of their root mean square of it.
 */
function expectLikeliest(
  logits: { data: Float32Array; shape: readonly number[] },
  position: number,
  [first, count]: readonly [number, number],
  token: number,
  what: string,
): void {
  const V = logits.shape[2]!;
  const row = logits.data.subarray(position * V + first, position * V + first + count);
  const top = row.reduce((a, v) => Math.max(a, v), -Infinity);
  const spread = Math.sqrt(row.reduce((sum, v) => sum + v * v, 0) / count);
  const got = row[token - first];
  if (!(got !== undefined && top - got <= 5e-3 * spread))
    throw new Error(
      `${what}: got token ${token}, expected ${first + row.indexOf(top)}: its logit is ${top}, that of the drawn one ${got}.`,
    );
}

async function checkTokens({ semantic, coarse_acoustics: coarse, generation_config }: BarkModel): Promise<void> {
  const { semantic_config: s, coarse_acoustics_config: c, codebook_size: size } = generation_config;
  const { inputIds, attentionMask, shape } = textInputs();
  const { tokens } = await semantic.generate(
    { inputIds, attentionMask, shape, history: [null] },
    { ...LIKELIEST, minEosP: null, maxNewTokens: CHECKED, seeds: [[1, 2]] },
  );
  const own = tokens[0]!;
  const L = s.max_input_semantic_length;
  const text = Array.from({ length: L }, (_, i) =>
    i < shape[1] ? inputIds[i]! + s.text_encoding_offset : s.text_pad_token,
  );
  const rows = await semantic.embed([
    ...text,
    ...new Array<number>(L).fill(s.semantic_pad_token),
    s.semantic_infer_token,
    ...own,
  ]);
  const H = semantic.config.hidden_size;
  const embeds = new Float32Array((L + own.length) * H);
  for (let i = 0; i < embeds.length; i++) embeds[i] = i < L * H ? rows[i]! + rows[L * H + i]! : rows[L * H + i]!;
  const spoken = await semantic.forward({ inputsEmbeds: { data: embeds, shape: [1, L + own.length, H] } });
  for (const [i, token] of own.entries())
    expectLikeliest(
      spoken.logits,
      L + i,
      [0, Math.min(s.eos_token_id, s.semantic_vocab_size) + 1],
      token,
      `generate, semantic token ${i}`,
    );

  const sentence = Int32Array.from({ length: 2 }, (_, i) => 17 + 901 * i);
  const [ids] = await coarse.generate(
    { semantic: [sentence], history: [null] },
    { ...LIKELIEST, strictMask: true, seeds: [[1, 2]] },
  );
  const width = c.max_coarse_input_length;
  const prompt = Array.from({ length: width }, (_, i) => sentence[i] ?? c.coarse_semantic_pad_token);
  const said = await coarse.forward({
    inputIds: { data: [...prompt, c.coarse_infer_token, ...ids!.subarray(0, -1)], shape: [1, width + ids!.length] },
  });
  for (const [i, token] of ids!.entries())
    expectLikeliest(
      said.logits,
      width + i,
      [s.semantic_vocab_size + (i % 2) * size, size],
      token,
      `generate, coarse token ${i}`,
    );
}

interface Run {
  readonly ms: number;
  readonly cpuMs: number;
  readonly timings: GenerateOutput['timings'];
  readonly counters: Counters;
}

/** Generates a sentence and adds its times and counters to `runs`. */
async function timed(device: Device, say: () => Promise<GenerateOutput>, runs: Run[]): Promise<GenerateOutput> {
  const before = { ...device.counters };
  const [start, cpu] = [performance.now(), cpuMs()];
  const output = await say();
  const [ms, spent] = [performance.now() - start, cpuMs() - cpu];
  const counters = { ...device.counters };
  for (const name of Object.keys(counters) as (keyof Counters)[]) counters[name] -= before[name];
  runs.push({ ms, cpuMs: spent, timings: output.timings, counters });
  return output;
}

async function measureModel(
  bench: BenchModel,
  device: Device,
  dtype: 'float16' | 'float32',
  options: BenchOptions,
): Promise<Record<string, string | number | boolean | null>> {
  const begin = performance.now();
  const model = await BarkModel.fromPretrained(bench.source, { device, dtype });
  const loadMs = performance.now() - begin;
  try {
    const inputs = textInputs();
    const maxNewTokens = options.quick ? TOKENS.quick : TOKENS.full;
    const say = (): Promise<GenerateOutput> =>
      model.generate(inputs, { seed: SEED, minEosP: null, semantic: { maxNewTokens } });
    const runs: Run[] = [];
    const { value: reference, gpuMs } = await gpuTimed(device, () => timed(device, say, runs));
    // of loading and generating; read before the checks, which upload whole output heads
    const { peak } = device.memory();
    await checkTokens(model);
    const { fine } = reference.tokens[0]!;
    const worst = await checkAudio(
      bench.weights.at('codec_model'),
      model.config.codec_config,
      reference.audio[0]!.data,
      fine,
      model.generation_config.fine_acoustics_config.n_fine_codebooks,
    );
    const firstOfAll = reference.timings.firstToken;
    if (!options.quick) runs.pop(); // the first run was the warm-up
    for (let time = 0; !options.quick && time < options.repeats; time++) {
      const output = await timed(device, say, runs);
      const same =
        output.audio[0]!.data.every((v, i) => v === reference.audio[0]!.data[i]) &&
        output.tokens[0]!.semantic.every((v, i) => v === reference.tokens[0]!.semantic[i]);
      if (!same) throw new Error('generate: the same seed said something else the second time.');
    }
    const seconds = reference.audio[0]!.data.length / reference.audio[0]!.sampling_rate;
    const middle = (of: (run: Run) => number, decimals = 1): number => rounded(median(runs.map(of)), decimals);
    const { counters } = runs[0]!;
    return {
      runs: runs.length,
      semanticTokens: reference.tokens[0]!.semantic.length,
      coarseTokens: reference.tokens[0]!.coarse.length,
      audioSeconds: rounded(seconds, 3),
      realTimeFactor: middle((run) => run.ms / 1000 / seconds, 3),
      ms: middle((run) => run.ms),
      cpuMs: middle((run) => run.cpuMs),
      gpuMs: gpuMs === null ? null : rounded(gpuMs, 1),
      semanticMs: middle((run) => run.timings.semantic),
      coarseMs: middle((run) => run.timings.coarse),
      fineMs: middle((run) => run.timings.fine),
      codecMs: middle((run) => run.timings.codec),
      loadMs: rounded(loadMs, 1),
      timeToFirstTokenMs: middle((run) => run.timings.firstToken),
      coldTimeToFirstTokenMs: rounded(loadMs + firstOfAll, 1),
      timeToFirstAudioMs: middle((run) => run.ms),
      peakGpuBytes: peak,
      dispatches: counters.dispatches,
      submits: counters.submits,
      bindGroups: counters.bindGroups,
      buffers: counters.buffers,
      pipelines: counters.pipelines,
      readbacks: counters.readbacks,
      uploadBytes: counters.uploadBytes,
      softwareAdapter: isSoftware(device.info),
      worstError: Number(worst.toPrecision(2)),
    };
  } finally {
    model.dispose();
  }
}

async function run(options: BenchOptions, emit: (result: Result) => void, note: (text: string) => void): Promise<void> {
  for (const dtype of options.dtype
    ? [options.dtype]
    : options.quick
      ? (['float16'] as const)
      : (['float16', 'float32'] as const)) {
    const bench = await openBenchModel(options, QUICK_LAYERS);
    const device = await requestDevice(options);
    try {
      note(`generate: ${options.model}, ${bench.layers} layers, ${dtype}`);
      emit({
        suite: 'generate',
        model: options.model,
        layers: bench.layers,
        ...machineOf(device),
        dtype,
        variant: variantOf(device),
        ...(await measureModel(bench, device, dtype, options)),
      });
    } finally {
      device.dispose();
      await bench.close();
    }
  }
}

export const generate: Suite = {
  name: 'generate',
  about: 'whole sentences: real-time factor, time to first token and to audio, memory',
  columns: [
    'model',
    'layers',
    'dtype',
    'semanticTokens',
    'audioSeconds',
    'realTimeFactor',
    'ms',
    'cpuMs',
    'semanticMs',
    'coarseMs',
    'fineMs',
    'codecMs',
    'loadMs',
    'timeToFirstTokenMs',
    'timeToFirstAudioMs',
    'peakGpuBytes',
    'readbacks',
  ],
  run,
};

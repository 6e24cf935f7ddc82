// `bark "text"`: reads the text, speaks it, and plays it or writes it where it was asked to. All
// that can be wrong with the arguments is found before the model is loaded; standard output gets
// the WAV or the JSON and nothing else.

import { Device } from '../../runtime/compute/device.ts';
import { InputError } from '../../runtime/base/errors.ts';
import { byteCount } from '../../runtime/base/messages.ts';
import { packageVersion } from '../../runtime/host/version.ts';
import type { RawAudio } from '../audio.ts';
import { deviceOptions, hubOptions, type Arguments, type CommandContext, type Values } from './arguments.ts';
import { checkBareWord } from './bare_word.ts';
import { checkOutput, checkPlaces, FALLBACK } from './checks.ts';
import { roomForSpeech } from '../config/check_generation.ts';
import { UsageError } from './option_table.ts';
import { BarkModel } from '../model.ts';
import type { GenerateOutput } from '../output.ts';
import type { GenerateOptions, ProgressEvent } from '../options.ts';
import { play } from './play.ts';
import { readText } from './read_text.ts';
import { openPretrained, type OpenPretrainedOptions } from '../pretrained/pretrained.ts';
import { BarkProcessor, type Voice } from '../processor/processor.ts';
import { seconds, type Progress, type Stage } from './progress.ts';
import { findVoice } from '../processor/voice_preset.ts';
import { voiceLanguage } from '../processor/voice_list.ts';

const GREEDY: GenerateOptions = { doSample: false, minEosP: null, fine: { temperature: null } };
const STAGES: readonly Stage[] = ['load', 'semantic', 'coarse', 'fine', 'codec'];

export async function say(
  { words, values, bareWord }: Arguments,
  { progress, signal, print }: CommandContext,
): Promise<void> {
  checkCombination(values);
  const onDevice = deviceOptions(values);
  await checkOutput(values);
  await checkPlaces(values.model, values);
  const terminal = process.stdin.isTTY && process.stderr.isTTY;
  await checkBareWord(words, bareWord, progress, terminal ? { input: process.stdin, signal } : undefined);
  const text = await readText(words, values.file, signal);

  const warned = new Set<string>();
  const warn = (warnings: readonly string[]) => {
    // The library calls the option as a caller of `generate` does.
    for (const warning of warnings.map((text) => text.replaceAll('semantic.maxNewTokens', '--max-new-tokens'))) {
      if (!warned.has(warning)) progress.warn(warning);
      warned.add(warning);
    }
  };
  const onProgress = (event: ProgressEvent) => progress.step(event);
  const opening = { ...hubOptions(values), signal, onProgress };
  const processor = await BarkProcessor.fromPretrained(values.model, { ...opening, tokenizer: values.tokenizer });
  const inputs = await processor
    .encode(text, { voicePreset: await voiceOf(values, processor), signal })
    .catch((error: unknown) => Promise.reject(withoutModel(error, values)));
  warn(inputs.warnings);
  await checkLength(values, opening);
  if (values.model === undefined)
    progress.say(
      'Speaking with the small built-in demo voice. A real model: bark --model suno/bark-small "…" (fetches 1.7 GB the first time)',
    );

  const device = await Device.request(onDevice);
  let model: BarkModel | undefined;
  try {
    warn(device.warnings);
    progress.begin('load');
    model = await BarkModel.fromPretrained(values.model, {
      ...opening,
      device,
      dtype: values.dtype,
      offload: values.offload,
      codec: values.codec,
    });
    warn(model.warnings);
    const load = progress.end(
      'load',
      0,
      values.offload
        ? 'each stage when its turn comes'
        : `${byteCount(device.memory().current)} ${device.kind === 'wasm' ? 'in memory' : 'on the GPU'}`,
    );
    const output = await model.generate(inputs, {
      ...generateOptions(values),
      signal,
      onProgress: stageLines(progress),
    });
    const audio = output.audio[0]!;
    if (audioCame(output)) progress.end('codec', 1, `${audio.duration.toFixed(2)} s of audio`);
    warn(output.warnings);

    signal.throwIfAborted();
    const factor = output.timings.total / 1000 / audio.duration;
    const spent = `${audio.duration.toFixed(2)} s of audio in ${seconds(output.timings.total).trim()} (real-time factor ${factor.toFixed(2)})`;
    if (values.output !== '-') progress.say(spent);
    if (values.seed === undefined && !values.greedy)
      progress.say(`seed ${output.seeds[0]}: --seed ${output.seeds[0]} gives this reading again`);
    const written = await deliver(audio, values.output, { progress, signal, print });
    if (values.json)
      await print(
        `${JSON.stringify(await report({ text, values, output, written, model, load, warnings: [...warned] }))}\n`,
      );
  } finally {
    progress.clear();
    model?.dispose();
    device.dispose();
  }
}

/** Plays or writes; returns the path that was written, or null. */
async function deliver(
  audio: RawAudio,
  path: string | undefined,
  { progress, signal, print }: CommandContext,
): Promise<string | null> {
  if (path === '-') {
    await print(audio.toWav());
    return path;
  }
  if (path === undefined && (await play(audio.toWav(), audio.duration, signal))) return null;
  signal.throwIfAborted();
  const file = path ?? FALLBACK;
  // By now this is no wrong usage any more: the disk is full, or the folder is gone.
  await audio.save(file).catch((cause: Error) => Promise.reject(new Error(cause.message, { cause })));
  progress.say(path === undefined ? `nothing can play here, so it is in ${file}` : file);
  return file;
}

/**
 * Each stage's line ends when it is done, and the next one's begins; the codec's ends when its
 * audio is known.
 */
function stageLines(progress: Progress): (event: ProgressEvent) => void {
  progress.begin('semantic');
  return (event) => {
    progress.step(event);
    if (event.done < event.total || event.stage === 'codec') return;
    progress.end(event.stage, event.done);
    progress.begin(STAGES[STAGES.indexOf(event.stage) + 1]!);
  };
}

const audioCame = ({ tokens }: GenerateOutput): boolean => tokens[0]!.fine.length > 0;

/** The voice by its name, or mended where it is a file and that was asked for. */
async function voiceOf(
  { voice, 'repair-voice': repair }: Values,
  processor: BarkProcessor,
): Promise<Voice | undefined> {
  if (!repair || voice === undefined || processor.voices().includes(voice)) return voice;
  return (await findVoice(voice, { repair: processor.generation_config })) ?? voice;
}

function checkCombination(values: Values): void {
  if (values['repair-voice'] && values.voice === undefined)
    throw new UsageError('--repair-voice: got it without --voice, expected both. Add --voice and the .npz to mend.');
  if (values.greedy && values.temperature !== undefined)
    throw new UsageError(
      '--greedy: got it with --temperature, expected one of them: without drawing there is no temperature.',
    );
  if (values.greedy && values['min-eos-p'] !== undefined)
    throw new UsageError(
      '--greedy: got it with --min-eos-p, expected one of them: without drawing the likeliest token alone decides.',
    );
}

/** How long the speech may get depends on the model; its config files say it before its weights. */
async function checkLength(values: Values, opening: OpenPretrainedOptions): Promise<void> {
  const given = values['max-new-tokens'];
  if (given === undefined) return;
  const { config, generation_config, close } = await openPretrained(values.model, { ...opening, codec: values.codec });
  await close();
  const most = roomForSpeech(config.semantic_config, generation_config.semantic_config);
  if (given > most)
    throw new UsageError(
      `--max-new-tokens: got ${given}, expected a whole number from 1 to ${most}, what this model has positions for. Split the text instead.`,
    );
}

/** Who asks the demo voice for one of suno's has left out the model. */
function withoutModel(error: unknown, { voice = '', model }: Values): unknown {
  if (
    model !== undefined ||
    !(error instanceof InputError) ||
    !(voice === 'announcer' || voiceLanguage(voice) !== null)
  )
    return error;
  return new UsageError(
    `--voice: got ${voice} without --model, expected a model that has this voice. Add --model suno/bark-small.`,
    { cause: error },
  );
}

function generateOptions(values: Values): GenerateOptions {
  const { seed, temperature, greedy, 'min-eos-p': minEosP, 'max-new-tokens': maxNewTokens } = values;
  return {
    seed,
    temperature,
    minEosP: minEosP === 0 ? null : minEosP,
    semantic: { maxNewTokens },
    ...(greedy ? GREEDY : {}),
  };
}

interface Spoken {
  text: string;
  values: Values;
  output: GenerateOutput;
  written: string | null;
  model: BarkModel;
  load: number;
  warnings: string[];
}

/**
 * What --json prints. Times are milliseconds, memory is bytes, codes are rows of a codebook each.
 */
async function report({
  text,
  values,
  output,
  written,
  model,
  load,
  warnings,
}: Spoken): Promise<Record<string, unknown>> {
  const {
    audio: [audio],
    tokens: [tokens],
    timings,
    seeds: [seed],
  } = output;
  const { coarse_acoustics_config, fine_acoustics_config } = model.generation_config;
  const times = Object.entries({ load, ...timings }).map(([stage, ms]) => [stage, Math.round(10 * ms) / 10]);
  return {
    version: await packageVersion(),
    text,
    model: values.model ?? null,
    voice: values.voice ?? null,
    output: written,
    audio: { sampling_rate: audio!.sampling_rate, duration: audio!.duration, samples: audio!.data.length },
    seed,
    dtype: values.dtype ?? 'float16',
    offload: values.offload ?? false,
    adapter: model.device.name,
    backend: model.device.kind,
    tokens: {
      semantic: [...tokens!.semantic],
      coarse: rows(tokens!.coarse, coarse_acoustics_config.n_coarse_codebooks),
      fine: rows(tokens!.fine, fine_acoustics_config.n_fine_codebooks),
    },
    timings: Object.fromEntries(times),
    realTimeFactor: timings.total / 1000 / audio!.duration,
    memory: model.memory(),
    warnings,
  };
}

function rows(codes: Int32Array, count: number): number[][] {
  const frames = codes.length / count;
  return Array.from({ length: count }, (_, k) => [...codes.subarray(k * frames, (k + 1) * frames)]);
}

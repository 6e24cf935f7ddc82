// Bark: text → semantic → coarse → fine → codes → audio. `#speak` is that sentence; each verb is
// done by the file of its name (semantic.ts, coarse.ts, fine.ts, and encodec/ for the audio).
// Reference: HF BarkModel.generate; suno-ai/bark api.py.

import { numQuantizers } from '../encodec/config.ts';
import { EncodecModel } from '../encodec/model.ts';
import { checkDispatches, checkSubgroupMatrix } from '../kernels/self_check.ts';
import { MAX_BATCH } from '../kernels/state.ts';
import type { WeightDType } from '../kernels/upload/matrix.ts';
import { isSoftware } from '../runtime/compute/adapter.ts';
import { Device } from '../runtime/compute/device.ts';
import { InputError, madeBy } from '../runtime/base/errors.ts';
import { shown } from '../runtime/base/messages.ts';
import type { MemoryReport } from '../runtime/compute/ledger.ts';
import { whileCompiling } from '../runtime/compute/residency.ts';
import { type ModelSourceLike } from '../runtime/sources/open_source.ts';
import { walkWeights, type Weights } from '../runtime/formats/weights.ts';
import { RawAudio } from './audio.ts';
import { checkInputs, joinOutputs, rowVoices, sliceRows } from './batch.ts';
import { BarkCoarseModel } from './coarse.ts';
import type { BarkConfig } from './config/config.ts';
import { BarkFineModel } from './fine.ts';
import type { BarkGenerationConfig } from './config/generation_config.ts';
import { checkLoadOptions, type LoadOptions } from './load_options.ts';
import {
  resolveOptions,
  stageSeed,
  type GenerateOptions,
  type ProgressEvent,
  type ResolvedOptions,
} from './options.ts';
import { openPretrained } from './pretrained/pretrained.ts';
import type { BarkInputs } from './processor/processor.ts';
import type { Stage, StageHooks } from './gpt/stage.ts';
import { BarkSemanticModel } from './semantic.ts';
import { rowVoice, type GenerateOutput, type RowTokens } from './output.ts';
import type { VoicePreset } from './processor/voice_preset.ts';
import { fitGeneration, type GenerationFit } from './config/check_generation.ts';

const SILENCE = 0.25; // seconds of audio for a row without any speech tokens

export class BarkModel {
  readonly config: BarkConfig;
  readonly generation_config: BarkGenerationConfig;
  readonly device: Device;
  readonly semantic: BarkSemanticModel;
  readonly coarse_acoustics: BarkCoarseModel;
  readonly fine_acoustics: BarkFineModel;
  readonly codec_model: EncodecModel;
  readonly #warnings: string[];
  readonly #dtype: WeightDType;
  readonly #misfit: Error | undefined;
  readonly #ownsDevice: boolean;
  readonly #close: () => Promise<void>;
  #offload = false;
  #disposed = false;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(
    device: Device = madeBy('BarkModel', 'BarkModel.fromPretrained(source)'),
    ownsDevice: boolean,
    weights: Weights,
    config: BarkConfig,
    generation: BarkGenerationConfig,
    dtype: WeightDType,
    { warnings, misfit }: GenerationFit,
  ) {
    const at = (path: string) => ({ device, dtype, weights: weights.at(path), misfit });
    this.config = config;
    this.generation_config = generation;
    this.device = device;
    this.semantic = new BarkSemanticModel(at('semantic'), config.semantic_config, generation.semantic_config);
    this.coarse_acoustics = new BarkCoarseModel(at('coarse_acoustics'), config.coarse_acoustics_config, generation);
    this.fine_acoustics = new BarkFineModel(at('fine_acoustics'), config.fine_acoustics_config, generation);
    this.codec_model = new EncodecModel({
      device,
      weights: weights.at('codec_model'),
      config: config.codec_config,
      codebooks: Math.min(generation.fine_acoustics_config.n_fine_codebooks, numQuantizers(config.codec_config)),
    });
    this.#warnings = [...device.warnings, ...warnings];
    this.#dtype = dtype;
    this.#misfit = misfit;
    this.#ownsDevice = ownsDevice;
    this.#close = () => weights.checkpoint.close();
  }

  /**
   * Opens a model: a folder of Hugging Face's or suno's, a URL, or `org/name` of the Hub; without
   * `source`, the built-in demo voice. Throws `WeightsError` for files that are missing or damaged,
   * `UnsupportedError` where there is no GPU driver or the model needs something that this library
   * does not support.
   */
  static async fromPretrained(source?: ModelSourceLike, options: LoadOptions = {}): Promise<BarkModel> {
    const start = performance.now();
    const dtype = checkLoadOptions('BarkModel.fromPretrained', options);
    const { signal, onProgress } = options;
    const { config, generation_config, generationLabel, openWeights, close } = await openPretrained(source, options);
    let device: Device | undefined;
    let weights: Weights | undefined;
    let model: BarkModel;
    try {
      const fit = fitGeneration(config, generation_config, generationLabel);
      // The device comes first: without a GPU, downloading weights would be in vain.
      device = options.device ?? (await Device.request());
      weights = walkWeights(await openWeights());
      model = new BarkModel(device, !options.device, weights, config, generation_config, dtype, fit);
    } catch (error) {
      if (!options.device) device?.dispose();
      await (weights?.checkpoint.close() ?? close());
      throw error;
    }
    try {
      if (options.offload) model.enableCpuOffload();
      await whileCompiling(model.#compile(), signal, async (either) => {
        if (!options.offload) await model.#uploadAll(either, onProgress);
      });
      signal?.throwIfAborted();
      if (!options.offload) await model.#warmUp(signal);
    } catch (error) {
      model.dispose();
      await weights.checkpoint.close(); // begun by dispose(), which does not wait for it
      throw error;
    }
    device.trace?.span('stage', 'load', start);
    return model;
  }

  /**
   * From now on, only the weights of the running stage are on the GPU. They are read when the stage
   * starts and not ahead of time: two stages at once would be the memory peak that this avoids.
   */
  enableCpuOffload(...none: []): void {
    const [given] = none as readonly unknown[];
    if (given !== undefined)
      throw new InputError(
        `model.enableCpuOffload: got ${shown(given, 'setting')}, expected no argument: it turns offloading on, for the model's own GPU. The GPU is chosen when the model is loaded.`,
      );
    this.#offload = true;
    for (const stage of this.#stages) stage.unload();
  }

  /**
   * For people to read: doubtful values in the two config files, a software adapter, a matrix unit
   * that computes wrongly and is therefore not used.
   */
  get warnings(): readonly string[] {
    return this.#warnings;
  }

  /** Bytes on the GPU by owner, now and at the peak. */
  memory(): MemoryReport {
    return this.device.memory();
  }

  /**
   * Frees the weights as soon as nothing runs on them. A device that the model requested itself is
   * freed at once, and a `generate` that is still running fails.
   */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const stage of this.#stages) stage.unload();
    if (this.#ownsDevice) this.device.dispose();
    void this.#close().catch(() => {}); // the file was only read
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /**
   * Speaks each row of `inputs`. Rows have their own lengths and voices and do not influence each
   * other. Throws `InputError` for impossible inputs or options, and the signal's reason when it is
   * aborted; the model stays usable. Concurrent calls run one after the other.
   */
  async generate(inputs: BarkInputs, options: GenerateOptions = {}): Promise<GenerateOutput> {
    if (this.#disposed) throw new InputError('BarkModel: it was disposed, expected a live one. Load the model again.');
    if (this.#misfit) throw this.#misfit;
    checkInputs(inputs);
    const resolved = resolveOptions(options, this.generation_config, inputs.shape[0], this.semantic.maxNewTokens);
    const histories = rowVoices(inputs, this.generation_config);
    const before = this.#last;
    const mine = (async () => {
      await before.catch(() => {});
      options.signal?.throwIfAborted();
      const outputs: GenerateOutput[] = [];
      for (let from = 0; from < inputs.shape[0]; from += MAX_BATCH) {
        const rows = [from, Math.min(from + MAX_BATCH, inputs.shape[0])] as const;
        outputs.push(
          await this.#speak(
            sliceRows(inputs, ...rows),
            histories.slice(...rows),
            { ...resolved, seeds: resolved.seeds.slice(...rows) },
            options,
          ),
        );
      }
      return outputs.length === 1 ? outputs[0]! : joinOutputs(outputs);
    })();
    this.#last = mine;
    return mine;
  }

  /** The sentence: text → semantic → coarse → fine → codes → audio. */
  async #speak(
    inputs: Pick<BarkInputs, 'inputIds' | 'attentionMask' | 'shape'>,
    voices: (VoicePreset | null)[],
    options: ResolvedOptions,
    { signal, onProgress }: GenerateOptions,
  ): Promise<GenerateOutput> {
    const { seeds } = options;
    const timings = { semantic: 0, coarse: 0, fine: 0, codec: 0, total: 0, firstToken: 0 };
    const hooks = (stage: ProgressEvent['stage']) => ({
      signal,
      onProgress: (done: number, total: number) => onProgress?.({ stage, done, total }),
    });

    const {
      tokens: semantic,
      ended,
      firstToken,
    } = await this.#stage('semantic', timings, this.semantic, () =>
      this.semantic.generate(
        { ...inputs, history: voices.map((voice) => voice?.semantic_prompt ?? null) },
        { ...options.semantic, ...hooks('semantic'), seeds: seeds.map((seed) => stageSeed(seed, 'semantic')) },
      ),
    );
    timings.firstToken = firstToken;
    // Rows without speech skip the later stages; `rows` are the others.
    const rows = semantic.flatMap((tokens, b) => (this.coarse_acoustics.outputLength(tokens.length) > 0 ? [b] : []));
    const coarse = await this.#stage('coarse', timings, this.coarse_acoustics, async () =>
      rows.length === 0
        ? []
        : this.coarse_acoustics.generate(
            { semantic: rows.map((b) => semantic[b]!), history: rows.map((b) => voices[b] ?? null) },
            { ...options.coarse, ...hooks('coarse'), seeds: rows.map((b) => stageSeed(seeds[b]!, 'coarse')) },
          ),
    );

    const codes = coarse.map((ids) => this.coarse_acoustics.codes(ids));
    const speaking = rows.map((b, i) => ({ codes: codes[i]!, voice: voices[b] ?? null, seed: seeds[b]! }));
    const fine = await this.#stage('fine', timings, this.fine_acoustics, () =>
      this.#fine(speaking, options.fine, hooks('fine')),
    );

    const { n_fine_codebooks } = this.generation_config.fine_acoustics_config;
    const waves = await this.#stage('codec', timings, this.codec_model, async () => {
      const clips = fine.map((data) => ({ data, shape: [n_fine_codebooks, data.length / n_fine_codebooks] }));
      return clips.length === 0 ? [] : this.codec_model.decode(clips, hooks('codec'));
    });

    const rate = this.generation_config.sample_rate;
    const none = new Int32Array(0);
    const audio = semantic.map(
      (_, b) => new RawAudio(waves[rows.indexOf(b)] ?? new Float32Array(Math.round(SILENCE * rate)), rate),
    );
    const tokens = semantic.map((row, b): RowTokens => ({
      semantic: row,
      coarse: codes[rows.indexOf(b)] ?? none,
      fine: fine[rows.indexOf(b)] ?? none,
    }));
    return {
      audio,
      tokens,
      timings,
      seeds,
      warnings: this.#speechWarnings(semantic, ended),
      voice: (row) => rowVoice(tokens, row, this.generation_config),
    };
  }

  /** The fine stage, one row after the other; `onProgress` counts the passes of all rows. */
  async #fine(
    rows: readonly { codes: Int32Array; voice: VoicePreset | null; seed: number }[],
    options: ResolvedOptions['fine'],
    { signal, onProgress }: StageHooks,
  ): Promise<Int32Array<ArrayBuffer>[]> {
    const { n_coarse_codebooks } = this.generation_config.coarse_acoustics_config;
    const passes = rows.map(({ codes, voice }) =>
      this.fine_acoustics.passes(codes.length / n_coarse_codebooks, voice?.shapes.fine_prompt[1] ?? 0),
    );
    const total = passes.reduce((sum, count) => sum + count, 0);
    const results: Int32Array<ArrayBuffer>[] = [];
    let before = 0; // passes of earlier rows
    for (const [i, { codes, voice, seed }] of rows.entries()) {
      const done = before;
      results.push(
        await this.fine_acoustics.generate(codes, voice?.fine_prompt ?? null, {
          ...options,
          seed: stageSeed(seed, 'fine'),
          signal,
          onProgress: (pass) => onProgress?.(done + pass, total),
        }),
      );
      before += passes[i]!;
    }
    return results;
  }

  /** What to tell about rows that said nothing or were cut. */
  #speechWarnings(semantic: readonly Int32Array[], ended: readonly boolean[]): string[] {
    // A model may have positions for more than it was made to say; nobody is sent there.
    const most = Math.min(this.generation_config.semantic_config.max_new_tokens, this.semantic.maxNewTokens);
    return semantic.flatMap((tokens, b) => {
      const row = semantic.length === 1 ? 'The text' : `Text ${b + 1} of ${semantic.length}`;
      if (this.coarse_acoustics.outputLength(tokens.length) === 0)
        return `${row}: the model ended before it said anything; the audio is ${SILENCE} s of silence. Try another seed or voice, or write more.`;
      if (ended[b]) return [];
      const cut = `${row}: the model did not end by itself and was cut at ${tokens.length} semantic tokens`;
      return tokens.length < most
        ? `${cut}. Split the text, or raise semantic.maxNewTokens up to ${most}.`
        : `${cut}, as long as this model speaks. Split the text.`;
    });
  }

  /** Runs one stage and takes its time; with offloading, frees its weights afterwards. */
  async #stage<T>(
    name: 'semantic' | 'coarse' | 'fine' | 'codec',
    timings: GenerateOutput['timings'],
    stage: Stage,
    run: () => Promise<T>,
  ): Promise<T> {
    const start = performance.now();
    try {
      return await run();
    } finally {
      await this.device.trace?.settled();
      this.device.trace?.span('stage', name, start);
      if (this.#offload) stage.unload();
      timings[name] = performance.now() - start;
      timings.total += timings[name];
    }
  }

  get #stages(): readonly Stage[] {
    return [this.semantic, this.coarse_acoustics, this.fine_acoustics, this.codec_model];
  }

  /**
   * Compiles all pipelines of a sentence at once, on as many threads as the driver has for them.
   * First come small tests: that a GPU runs every dispatch, and of the matrix unit, whose result
   * decides which kernels are compiled.
   */
  async #compile(): Promise<void> {
    if (this.device.kind === 'webgpu' && !isSoftware(this.device.info)) await checkDispatches(this.device);
    const slower = this.#dtype === 'f16' ? await checkSubgroupMatrix(this.device) : undefined;
    if (slower) this.#warnings.push(slower);
    if (this.#misfit) return; // the pipelines are those of speech; `forward` compiles its own
    await Promise.all(this.#stages.map((stage) => stage.compile()));
  }

  async #uploadAll(signal: AbortSignal, onProgress: LoadOptions['onProgress']): Promise<void> {
    const total = this.#stages.reduce((sum, stage) => sum + stage.tensors, 0);
    let done = 0;
    for (const stage of this.#stages)
      await stage.upload({ signal, onTensor: () => onProgress?.({ stage: 'load', done: ++done, total }) });
  }

  /** Runs every stage once, so that the first sentence need not wait for what drivers put off. */
  async #warmUp(signal: AbortSignal | undefined): Promise<void> {
    if (this.#misfit) return;
    // One stage after the other, and settled: each holds a whole cache, which drivers free only
    // when the GPU's work on it is done.
    for (const stage of this.#stages) {
      signal?.throwIfAborted();
      await stage.warmUp();
      await this.device.settle();
    }
    signal?.throwIfAborted();
  }
}

// Coarse codes → all codebooks: a bidirectional model over windows of frames, one codebook after
// the other. The model attends to the whole window, padding included, and each codebook is computed
// from the codes drawn before it, in the padding too; that is why a short clip costs as much as a
// whole window.
// Reference: HF BarkFineModel; suno-ai/bark model_fine.py, generation.py generate_fine.

import type { Words } from '../kernels/sample/random.ts';
import { samplingCodesParams, SAMPLING_CODES_WORDS } from '../kernels/sample/sample_codes.ts';
import { createUniform } from '../kernels/state.ts';
import { withStaging } from '../kernels/upload/cast.ts';
import { toDevice, toShapes } from '../kernels/upload/destination.ts';
import type { WeightDType } from '../kernels/upload/matrix.ts';
import { InputError, madeBy } from '../runtime/base/errors.ts';
import { shown } from '../runtime/base/messages.ts';
import { isBag } from '../runtime/base/options.ts';
import type { Device } from '../runtime/compute/device.ts';
import type { Owner } from '../runtime/compute/ledger.ts';
import { compileAll } from '../runtime/compute/program.ts';
import type { LoadProgress } from '../runtime/compute/residency.ts';
import { ResidentModel } from '../runtime/compute/resident_model.ts';
import { SHAPE_ONLY } from '../runtime/compute/shape_only.ts';
import type { Weights } from '../runtime/formats/weights.ts';
import type { BarkFineConfig } from './config/config.ts';
import type { BarkGenerationConfig } from './config/generation_config.ts';
import { loadFineGpt, type FineGpt } from './gpt/fine_gpt.ts';
import { createWindowTensors, FineWindow, recordPass } from './gpt/fine_window.ts';
import { trunkTensors } from './gpt/gpt.ts';
import { hostTensor, refuseMask, type HostTensor, type TensorLike } from './gpt/host_tensor.ts';
import { Pacer } from './gpt/session.ts';
import { checkGiven, noStageAlone, type Stage, type StageHooks, type StageOptions } from './gpt/stage.ts';

export interface FineOptions extends StageHooks {
  /** null takes the likeliest code, and so does exactly 1, as in transformers. */
  temperature: number | null;
  seed: Words; // the key of this row's random numbers
}

export class BarkFineModel extends ResidentModel<FineGpt> implements Stage {
  readonly config: BarkFineConfig;
  readonly generation_config: BarkGenerationConfig;
  readonly #device: Device;
  readonly #weights: Weights;
  readonly #dtype: WeightDType;
  readonly #misfit: Error | undefined;

  constructor(
    { device, weights, dtype, misfit }: StageOptions = madeBy('BarkFineModel', 'BarkModel.fromPretrained(source)'),
    config: BarkFineConfig,
    generation: BarkGenerationConfig,
  ) {
    super(device, `${weights.path}.weights`);
    this.#device = device;
    this.#weights = weights;
    this.#dtype = dtype;
    this.#misfit = misfit;
    this.config = config;
    this.generation_config = generation;
  }

  /** Always throws `UnsupportedError`: a stage is part of a model. */
  static fromPretrained(..._: unknown[]): Promise<never> {
    return noStageAlone('BarkFineModel', 'fine_acoustics');
  }

  /** Number of times `upload` calls `onTensor`. */
  get tensors(): number {
    return trunkTensors(this.config) + this.config.n_codes_total;
  }

  protected override load(owner: Owner, progress: LoadProgress): Promise<FineGpt> {
    const to = toDevice(this.#device, { dtype: this.#dtype, owner, ...progress });
    return withStaging(this.#device, () => loadFineGpt(to, this.#weights, this.config));
  }

  /**
   * Logits (B, T, V), V = output_vocab_size, of codebook `codebookIdx` for codes `given` (B, T,
   * n_codes_total). The model reads this codebook and those before it, none after it. Throws
   * `InputError` for a codebook without a head and for ids outside the tables.
   */
  async forward(
    codebookIdx: number,
    given: TensorLike,
    none: Record<string, never> = {},
  ): Promise<{ logits: HostTensor<Float32Array> }> {
    const door = 'fine_acoustics.forward';
    for (const options of [codebookIdx, none]) refuseMask(door, options);
    const wrong = isBag(codebookIdx) ? codebookIdx : none;
    if (!isBag(wrong) || Object.keys(wrong).length > 0)
      throw new InputError(
        `${door}: got ${shown(wrong, 'setting')}, expected forward(codebookIdx, codes) and no options.`,
      );
    const { n_codes_total, n_codes_given, output_vocab_size: V, block_size, input_vocab_size } = this.config;
    const codes = hostTensor(given, door);
    if (!Number.isInteger(codebookIdx) || codebookIdx < n_codes_given || codebookIdx >= n_codes_total) {
      throw new InputError(
        `fine_acoustics.forward: got codebook ${shown(codebookIdx, 'setting')}, expected one from ${n_codes_given} to ${n_codes_total - 1}. Those before come from the coarse model.`,
      );
    }
    const [B = 0, T = 0, C] = codes.shape;
    if (codes.shape.length !== 3 || C !== n_codes_total || B < 1 || T < 1 || T > block_size) {
      throw new InputError(
        `fine_acoustics.forward: got codes of shape (${codes.shape.join(', ')}), expected (B, T, ${n_codes_total}) with T up to ${block_size}.`,
      );
    }
    for (let i = 0; i < codes.data.length; i++) {
      const code = codes.data[i]!;
      if (!Number.isInteger(code) || code < 0 || code >= input_vocab_size)
        throw new InputError(
          `fine_acoustics.forward: got the code ${code}, expected one from 0 to ${input_vocab_size - 1}.`,
        );
    }
    return this.#onWindow(T, 0, 'fine_acoustics.forward', {}, async (window) => {
      const data = new Float32Array(B * T * V);
      const { run, logits } = await window.logits(codebookIdx, V);
      for (let b = 0; b < B; b++) {
        this.#device.write(
          window.codes,
          Uint32Array.from({ length: T * C }, (_, i) => codes.data[b * T * C + i]!),
        );
        run();
        data.set(await this.#device.readFloat32(logits), b * T * V);
      }
      return { logits: { data, shape: [B, T, V] } };
    });
  }

  /**
   * Calls `run` with a window of `frames` frames, of which those from `from` on are predicted. The
   * weights are uploaded if they are absent, and stay until `run` has ended.
   */
  #onWindow<R>(
    frames: number,
    from: number,
    owner: string,
    progress: LoadProgress,
    run: (window: FineWindow) => Promise<R>,
  ): Promise<R> {
    return this.use(async (gpt) => {
      const window = new FineWindow(this.#device, gpt, frames, from, this.#dtype, owner);
      try {
        return await run(window);
      } finally {
        window.dispose();
      }
    }, progress);
  }

  /** Has the driver compile the pipelines of `generate`; needs no weights. */
  async compile(): Promise<void> {
    const { fine_acoustics_config, coarse_acoustics_config, codebook_size } = this.generation_config;
    const gpt = await loadFineGpt(toShapes(this.#dtype, this.#device.kind), this.#weights, this.config);
    const tensors = createWindowTensors(
      SHAPE_ONLY,
      gpt,
      fine_acoustics_config.max_fine_input_length,
      0,
      this.#dtype,
      'fine_acoustics',
    );
    const settings = createUniform(SHAPE_ONLY, SAMPLING_CODES_WORDS, 'shape only', 'sampling');
    await compileAll(this.#device, (r) =>
      recordPass(r, gpt, tensors, coarse_acoustics_config.n_coarse_codebooks, codebook_size, settings),
    );
  }

  /** Runs these pipelines once, with nothing to do: some drivers finish compiling only then. */
  warmUp(): Promise<void> {
    const { n_coarse_codebooks: given } = this.generation_config.coarse_acoustics_config;
    const { max_fine_input_length: M } = this.generation_config.fine_acoustics_config;
    return this.#onWindow(M, 0, 'fine_acoustics', {}, async (window) => {
      const [pass] = await window.passes(given, given + 1, this.generation_config.codebook_size);
      window.idle();
      this.#device.write(
        pass!.settings,
        samplingCodesParams({ temperature: null, start: M, column: given, count: 1, seed: [0, 0], window: 0 }),
      );
      pass!.run();
    });
  }

  /**
   * Number of passes over the model for a sentence of `frames` frames after a voice of `past`
   * frames: one for each window and predicted codebook.
   */
  passes(frames: number, past: number): number {
    const { fine_acoustics_config, coarse_acoustics_config } = this.generation_config;
    const { max_fine_input_length: M, max_fine_history_length: hop, n_fine_codebooks } = fine_acoustics_config;
    const seen = Math.min(past, hop);
    return (
      fineWindows(frames, seen, Math.max(M, seen + frames), M, hop).length *
      (n_fine_codebooks - coarse_acoustics_config.n_coarse_codebooks)
    );
  }

  /**
   * All codebooks (n_fine_codebooks, T), row-major, of one sentence. `coarse` is
   * (n_coarse_codebooks, T); `history` is the voice, (n_fine_codebooks, F), of which the model sees
   * the last max_fine_history_length frames.
   */
  async generate(
    coarse: Int32Array,
    history: Int32Array | null,
    options: FineOptions,
  ): Promise<Int32Array<ArrayBuffer>> {
    if (this.#misfit) throw this.#misfit;
    checkGiven('fine_acoustics.generate', { coarse, ...options }, ['coarse', 'seed']);
    const { temperature, seed, signal, onProgress } = options;
    const { fine_acoustics_config, coarse_acoustics_config, codebook_size } = this.generation_config;
    const { max_fine_input_length: M, max_fine_history_length: longest, n_fine_codebooks: C } = fine_acoustics_config;
    const given = coarse_acoustics_config.n_coarse_codebooks;
    const T = coarse.length / given;
    const F = history ? history.length / C : 0;
    const past = Math.min(longest, F);
    if (past + longest > M && past + T - longest > M)
      throw new InputError(
        `fine_acoustics.generate: got ${T} frames after a voice of ${F}, expected at most ${M + longest - past} frames with this model: its max_fine_history_length is above half of max_fine_input_length. Split the text, or use a shorter voice.`,
      );
    const total = Math.max(M, past + T); // at least one window; what is missing is padding
    const frames = new Uint32Array(total * this.config.n_codes_total).fill(codebook_size);
    const pitch = this.config.n_codes_total;
    for (let c = 0; c < C; c++) {
      for (let t = 0; t < past; t++) frames[t * pitch + c] = history![c * F + F - past + t]!;
      if (c < given) for (let t = 0; t < T; t++) frames[(past + t) * pitch + c] = coarse[c * T + t]!;
    }

    const windows = fineWindows(T, past, total, M, longest);
    // The programs are recorded once for all windows, so they start at the earliest frame that any
    // window predicts, moved earlier until its row lies where a binding may start: 64 numbers.
    let first = Math.min(...windows.map(({ from }) => from));
    while ([this.config.hidden_size, codebook_size].some((width) => (first * width) % 64 !== 0)) first--;
    await this.#onWindow(M, first, 'fine_acoustics', { signal }, async (window) => {
      const passes = await window.passes(given, C, codebook_size);
      const pacer = new Pacer(this.#device, signal);
      const drawn = temperature === 1 ? null : temperature;
      for (const [w, { start, from }] of windows.entries()) {
        this.#device.write(window.codes, frames.subarray(start * pitch, (start + M) * pitch));
        for (const [i, { column, run, settings }] of passes.entries()) {
          this.#device.write(
            settings,
            samplingCodesParams({ temperature: drawn, start: from, column, count: codebook_size, seed, window: w }),
          );
          run();
          await pacer.submitted();
          onProgress?.(w * passes.length + i + 1, windows.length * passes.length);
        }
        // The next window has these codes as its context.
        frames.set(new Uint32Array(await this.#device.read(window.codes)), start * pitch);
      }
    });
    return Int32Array.from({ length: C * T }, (_, i) => frames[(past + (i % T)) * pitch + Math.floor(i / T)]!);
  }
}

/**
 * The windows of M frames over `total` frames, for T new frames after `past` frames of voice.
 * `start` is a window's first frame, `from` the first of its frames that is drawn, counted inside
 * the window; the frames before it are context.
 */
function fineWindows(
  T: number,
  past: number,
  total: number,
  M: number,
  hop: number,
): { start: number; from: number }[] {
  const count = Math.max(0, Math.ceil((T - (M - past)) / hop)) + 1;
  return Array.from({ length: count }, (_, n) => {
    const start = Math.min(hop * n, total - M);
    return { start, from: Math.min(past + hop * n, total - hop) - start };
  });
}

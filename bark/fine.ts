// Coarse codes → all codebooks: a bidirectional model over windows of frames, one codebook after
// the other. Each prediction is seen by the next, also in padding, which is why a short clip costs
// as much as a whole window.
// Reference: HF BarkFineModel; suno-ai/bark model_fine.py, generation.py generate_fine.

import { withStaging } from '../kernels/upload/cast.ts';
import type { Words } from '../kernels/sample/random.ts';
import { sampleCodes, samplingCodesParams, SAMPLING_CODES_WORDS } from '../kernels/sample/sample_codes.ts';
import { createUniform, writeCall } from '../kernels/state.ts';
import { toDevice, toShapes } from '../kernels/upload/destination.ts';
import type { WeightDType } from '../kernels/upload/upload.ts';
import { Arena } from '../runtime/compute/arena.ts';
import type { Device } from '../runtime/compute/device.ts';
import { InputError } from '../runtime/base/errors.ts';
import { SHAPE_ONLY, type Allocator } from '../runtime/compute/shape_only.ts';
import { compileAll, record, type Program, type Recorder } from '../runtime/compute/program.ts';
import { type Tensor } from '../runtime/compute/tensor.ts';
import type { Owner } from '../runtime/compute/ledger.ts';
import type { LoadProgress } from '../runtime/compute/residency.ts';
import { ResidentModel } from '../runtime/compute/resident_model.ts';
import type { Weights } from '../runtime/formats/weights.ts';
import type { BarkFineConfig } from './config/config.ts';
import { hostTensor, type HostTensor, type TensorLike } from './gpt/host_tensor.ts';
import type { BarkGenerationConfig } from './config/generation_config.ts';
import {
  createCache,
  destroyCache,
  headLogits,
  runTokens,
  trunkTensors,
  type KvCache,
  type LastRows,
} from './gpt/gpt.ts';
import { Pacer } from './gpt/session.ts';
import type { Stage, StageHooks, StageOptions } from './gpt/stage.ts';
import type { FineGpt } from './gpt/fine_gpt.ts';
import { loadFineGpt } from './gpt/fine_gpt.ts';

export interface FineOptions extends StageHooks {
  /** null takes the likeliest code; so does exactly 1, as in transformers. */
  temperature: number | null;
  seed: Words;
}

export class BarkFineModel extends ResidentModel<FineGpt> implements Stage {
  readonly config: BarkFineConfig;
  readonly generation_config: BarkGenerationConfig;
  readonly #device: Device;
  readonly #weights: Weights;
  readonly #dtype: WeightDType;

  constructor({ device, weights, dtype }: StageOptions, config: BarkFineConfig, generation: BarkGenerationConfig) {
    super(device, `${weights.path}.weights`);
    this.#device = device;
    this.#weights = weights;
    this.#dtype = dtype;
    this.config = config;
    this.generation_config = generation;
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
   * n_codes_total); codebooks after it are not looked at, it itself is. Throws `InputError` for a
   * codebook without a head and for ids outside the tables.
   */
  async forward(codebookIdx: number, given: TensorLike): Promise<{ logits: HostTensor<Float32Array> }> {
    const { n_codes_total, n_codes_given, output_vocab_size: V, block_size, input_vocab_size } = this.config;
    const codes = hostTensor(given, 'fine_acoustics.forward');
    if (!Number.isInteger(codebookIdx) || codebookIdx < n_codes_given || codebookIdx >= n_codes_total) {
      throw new InputError(
        `fine_acoustics.forward: got codebook ${codebookIdx}, expected one from ${n_codes_given} to ${n_codes_total - 1}. Those before come from the coarse model.`,
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
      const { program, logits } = await window.logits(codebookIdx, V);
      for (let b = 0; b < B; b++) {
        this.#device.write(
          window.codes,
          Uint32Array.from({ length: T * C }, (_, i) => codes.data[b * T * C + i]!),
        );
        program.run();
        data.set(await this.#device.readFloat32(logits), b * T * V);
      }
      return { logits: { data, shape: [B, T, V] } };
    });
  }

  /**
   * Runs on a window of `frames` codes, of which those from `from` on are predicted, and on the
   * weights, which come if they are not there and stay meanwhile.
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
    const gpt = await loadFineGpt(toShapes(this.#dtype), this.#weights, this.config);
    const tensors = createTensors(
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
      pass!.program.run();
    });
  }

  /**
   * Passes over the model that a sentence of `frames` frames takes, behind a voice of `past`
   * frames.
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
   * All codebooks (n_fine_codebooks, T), row-major, of one sentence. `coarse` holds its codes
   * (n_coarse_codebooks, T); `history` the codes (n_fine_codebooks, F) of its voice, of which the
   * last max_fine_history_length frames are seen.
   */
  async generate(
    coarse: Int32Array,
    history: Int32Array | null,
    { temperature, seed, signal, onProgress }: FineOptions,
  ): Promise<Int32Array<ArrayBuffer>> {
    const { fine_acoustics_config, coarse_acoustics_config, codebook_size } = this.generation_config;
    const { max_fine_input_length: M, max_fine_history_length: longest, n_fine_codebooks: C } = fine_acoustics_config;
    const given = coarse_acoustics_config.n_coarse_codebooks;
    const T = coarse.length / given;
    const F = history ? history.length / C : 0;
    const past = Math.min(longest, F);
    const total = Math.max(M, past + T); // padded to one window at least
    const frames = new Uint32Array(total * this.config.n_codes_total).fill(codebook_size);
    const pitch = this.config.n_codes_total;
    for (let c = 0; c < C; c++) {
      for (let t = 0; t < past; t++) frames[t * pitch + c] = history![c * F + F - past + t]!;
      if (c < given) for (let t = 0; t < T; t++) frames[(past + t) * pitch + c] = coarse[c * T + t]!;
    }

    const windows = fineWindows(T, past, total, M, longest);
    // Programs are recorded once, for all windows. Rows begin where bindings can, at multiples of
    // 64 numbers.
    let first = Math.min(...windows.map(({ from }) => from));
    while ([this.config.hidden_size, codebook_size].some((width) => (first * width) % 64 !== 0)) first--;
    await this.#onWindow(M, first, 'fine_acoustics', { signal }, async (window) => {
      const passes = await window.passes(given, C, codebook_size);
      const pacer = new Pacer(this.#device, signal);
      const drawn = temperature === 1 ? null : temperature;
      for (const [w, { start, from }] of windows.entries()) {
        this.#device.write(window.codes, frames.subarray(start * pitch, (start + M) * pitch));
        for (const [i, { column, program, settings }] of passes.entries()) {
          this.#device.write(
            settings,
            samplingCodesParams({ temperature: drawn, start: from, column, count: codebook_size, seed, window: w }),
          );
          program.run();
          await pacer.submitted();
          onProgress?.(w * passes.length + i + 1, windows.length * passes.length);
        }
        // the next window sees what this one drew
        frames.set(new Uint32Array(await this.#device.read(window.codes)), start * pitch);
      }
    });
    return Int32Array.from({ length: C * T }, (_, i) => frames[(past + (i % T)) * pitch + Math.floor(i / T)]!);
  }
}

/**
 * Windows of M frames over `total`: where each starts, and from which of its frames on it draws;
 * earlier ones are context.
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

/** What programs over a window of M frames read and write, beside weights. */
interface Tensors {
  readonly codes: Tensor; // (M, n_codes_total) u32
  readonly call: Tensor;
  readonly last: LastRows; // what is predicted; frames before it are seen
  // keys and values of the window, in one place for all layers: read by the layer that wrote them
  // and never again
  readonly cache: KvCache;
}

function createTensors(
  on: Allocator,
  { config, blocks }: FineGpt,
  frames: number,
  from: number,
  dtype: WeightDType,
  owner: string,
): Tensors {
  const layer = createCache(on, { ...config, num_layers: 1 }, 1, frames, dtype, `${owner}.activations`)[0]!;
  return {
    codes: on.createTensor([frames, config.n_codes_total], 'u32', `${owner}.state`, 'codes'),
    call: createUniform(on, 3, `${owner}.state`, 'call'),
    last: { from, call: createUniform(on, 3, `${owner}.state`, 'call of the last rows') },
    cache: blocks.map(() => layer),
  };
}

/** Logits of a codebook, the first `count` columns. */
function recordLogits(
  r: Recorder,
  gpt: FineGpt,
  { codes, call, last, cache }: Tensors,
  codebook: number,
  count: number,
): Tensor {
  const head = gpt.heads[codebook - gpt.config.n_codes_given]!;
  const x = runTokens(r, gpt, gpt.tables, codes, cache, call, {
    causal: false,
    last,
    columns: codebook + 1,
    vocab: gpt.vocab,
  });
  return headLogits(r, gpt, x, { weight: { ...head, shape: [count, head.shape[1]!] }, bias: null }, last);
}

/** The same, and the draw into the window. */
const recordPass = (
  r: Recorder,
  gpt: FineGpt,
  tensors: Tensors,
  codebook: number,
  count: number,
  settings: Tensor,
): void => sampleCodes(r, tensors.codes, recordLogits(r, gpt, tensors, codebook, count), settings);

/** A window of codes on the GPU and what records programs over it. */
class FineWindow {
  readonly #device: Device;
  readonly #gpt: FineGpt;
  readonly #tensors: Tensors;
  readonly #arena: Arena;
  readonly #owner: string;
  readonly #settings: Tensor[] = [];
  readonly #programs: Program[] = [];

  constructor(device: Device, gpt: FineGpt, frames: number, from: number, dtype: WeightDType, owner: string) {
    this.#device = device;
    this.#gpt = gpt;
    this.#owner = owner;
    this.#tensors = createTensors(device, gpt, frames, from, dtype, owner);
    this.#arena = new Arena(device, `${owner}.activations`);
    writeCall(device, this.#tensors.call, { count: frames });
    writeCall(device, this.#tensors.last.call, { start: from, count: frames - from });
  }

  /** (M, n_codes_total) u32. */
  get codes(): Tensor {
    return this.#tensors.codes;
  }

  /** Makes every run from now on end at once. */
  idle(): void {
    for (const call of [this.#tensors.call, this.#tensors.last.call]) writeCall(this.#device, call, { count: 0 });
  }

  /** Records the logits of a codebook, the first `count` columns. */
  async logits(codebook: number, count: number): Promise<{ program: Program; logits: Tensor }> {
    let logits: Tensor | undefined;
    const program = await this.#record(
      (r) => (logits = recordLogits(r, this.#gpt, this.#tensors, codebook, count)),
      this.#owner,
    );
    return { program, logits: logits! };
  }

  /**
   * Records, for each codebook from `given` to `codebooks`, its logits and the draw into the
   * window.
   */
  async passes(
    given: number,
    codebooks: number,
    count: number,
  ): Promise<{ column: number; program: Program; settings: Tensor }[]> {
    const columns = Array.from({ length: codebooks - given }, (_, i) => given + i);
    return Promise.all(
      columns.map(async (column) => {
        const settings = createUniform(this.#device, SAMPLING_CODES_WORDS, `${this.#owner}.state`, 'sampling');
        this.#settings.push(settings);
        const program = await this.#record(
          (r) => recordPass(r, this.#gpt, this.#tensors, column, count, settings),
          `${this.#owner} codebook ${column}`,
        );
        return { column, program, settings };
      }),
    );
  }

  async #record(body: (r: Recorder) => void, label: string): Promise<Program> {
    const program = await record(this.#device, body, { label, arena: this.#arena });
    this.#programs.push(program);
    return program;
  }

  dispose(): void {
    for (const program of this.#programs) program.dispose();
    this.#arena.dispose();
    const { codes, call, last, cache } = this.#tensors;
    destroyCache(this.#device, cache.slice(0, 1));
    for (const t of [codes, call, last.call, ...this.#settings]) this.#device.destroyBuffer(t.buffer);
  }
}

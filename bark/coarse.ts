// Semantic tokens → coarse tokens: the first two codebooks, interleaved, in sliding windows. The
// prompt of a window is a slice of the semantic tokens, an infer token, and the coarse tokens drawn
// so far. While the slice stays where it is, the KV cache already holds the next window's prompt
// and the model simply goes on; when the slice moves, the prompt is prefilled again.
// Reference: HF BarkCoarseModel.generate, preprocess_histories; suno-ai/bark generation.py
// generate_coarse.

import { writeRow } from '../kernels/state.ts';
import type { Words } from '../kernels/sample/random.ts';
import { CausalStage } from './gpt/causal_stage.ts';
import type { BarkCoarseConfig } from './config/config.ts';
import type { BarkCoarseGenerationConfig, BarkGenerationConfig } from './config/generation_config.ts';
import type { CausalGpt } from './gpt/gpt.ts';
import { createSession, Pacer, type Session, type SessionOptions } from './gpt/session.ts';
import { UnsupportedError, madeBy } from '../runtime/base/errors.ts';
import { checkGiven, type Draw, type StageHooks, type StageOptions } from './gpt/stage.ts';

/** The part of a voice that this stage continues. S semantic tokens, F frames. */
export interface CoarseHistory {
  semantic_prompt: Int32Array; // (S)
  coarse_prompt: Int32Array; //   (2, F) codes
}

export interface CoarseInputs {
  /** Semantic tokens of each row. */
  semantic: readonly Int32Array[];
  history: readonly (CoarseHistory | null)[];
}

export interface CoarseOptions extends Draw, StageHooks {
  /** The key of each row's random numbers. */
  seeds: readonly Words[];
  /**
   * true is suno's mask: odd steps draw only ids of the second codebook. false is transformers':
   * odd steps draw every id from the second codebook to the end of the vocabulary.
   */
  strictMask: boolean;
}

/** One row of the batch. */
interface Row {
  readonly semantic: Int32Array; // semantic tokens: history, then the sentence
  readonly base: number; // how many of them are history
  readonly coarse: Int32Array; // coarse history, as ids of the vocabulary
  readonly length: number; // coarse tokens to draw
}

export class BarkCoarseModel extends CausalStage {
  readonly generation_config: BarkCoarseGenerationConfig;
  readonly #semanticVocab: number;
  readonly #codebook: number;
  readonly #semanticRate: number;

  constructor(
    options: StageOptions = madeBy('BarkCoarseModel', 'BarkModel.fromPretrained(source)'),
    config: BarkCoarseConfig,
    generation: BarkGenerationConfig,
  ) {
    const first = generation.semantic_config.semantic_vocab_size;
    super(options, config, { table: [[0, config.input_vocab_size]], head: [[first, config.output_vocab_size]] });
    this.generation_config = generation.coarse_acoustics_config;
    this.#semanticVocab = first;
    this.#codebook = generation.codebook_size;
    this.#semanticRate = generation.semantic_config.semantic_rate_hz;
  }

  /** Coarse tokens per semantic token. */
  get ratio(): number {
    const { coarse_rate_hz, n_coarse_codebooks } = this.generation_config;
    return (coarse_rate_hz / this.#semanticRate) * n_coarse_codebooks;
  }

  /**
   * Number of coarse tokens for `n` semantic tokens, in whole frames. The reference computes this
   * in f32, and so must we, to round alike.
   */
  outputLength(n: number): number {
    const codebooks = this.generation_config.n_coarse_codebooks;
    const frames = Math.floor(Math.fround(Math.fround(Math.fround(n) * Math.fround(this.ratio)) / codebooks));
    return roundHalfEven(frames * codebooks);
  }

  /** Coarse ids of each row b, (2 · T_b), interleaved: codebook c of frame t is at [2t + c]. */
  async generate(inputs: CoarseInputs, options: CoarseOptions): Promise<Int32Array[]> {
    if (this.misfit) throw this.misfit;
    checkGiven('coarse_acoustics.generate', inputs, ['semantic', 'history']);
    checkGiven('coarse_acoustics.generate', options, ['seeds']);
    const rows = inputs.semantic.map((semantic, b) => this.#row(semantic, inputs.history[b] ?? null));
    this.#checkPositions(rows);
    return this.use((gpt) => this.#slide(gpt, rows, options), { signal: options.signal });
  }

  async #slide(gpt: CausalGpt, rows: readonly Row[], options: CoarseOptions): Promise<Int32Array[]> {
    const { sliding_window_len } = this.generation_config;
    const { device } = this;
    const longest = Math.max(...rows.map((row) => row.length));
    const pitch = Math.max(...rows.map((row) => row.coarse.length)) + longest;
    const session = await createSession(device, gpt, this.#session(rows.length, pitch, options));
    try {
      const pacer = new Pacer(device, options.signal);
      for (let total = 0; total < longest; total += sliding_window_len) {
        for (const [b, row] of rows.entries()) {
          if (total >= row.length || (total > 0 && this.#continues(row, total))) continue;
          this.#prefill(session, row, b, total, pitch, options.seeds[b]!);
          await pacer.submitted();
        }
        const steps = Math.min(sliding_window_len, longest - total);
        for (let done = 0; done < steps;) {
          const n = Math.min(STEPS, steps - done);
          session.step.run(n);
          done += n;
          await pacer.submitted();
          options.onProgress?.(total + done, longest);
        }
      }
      const drawn = new Uint32Array(await device.read(session.tokens));
      return rows.map((row, b) =>
        Int32Array.from(drawn.subarray(b * pitch + row.coarse.length, b * pitch + row.coarse.length + row.length)),
      );
    } finally {
      session.dispose();
    }
  }

  protected override idleSession(): SessionOptions {
    return this.#session(1, 1, IDLE);
  }

  #session(batch: number, pitch: number, options: Draw & { strictMask: boolean }): SessionOptions {
    const { max_coarse_input_length, max_coarse_history } = this.generation_config;
    return {
      owner: this.stage,
      batch,
      prompt: max_coarse_input_length + max_coarse_history,
      pitch,
      ...this.#drawing(options),
    };
  }

  /**
   * Codes (2, T), row-major, of coarse ids (2 · T). Ids past the last codebook are taken modulo the
   * codebook's size, as in the reference's fine stage.
   */
  codes(ids: Int32Array): Int32Array<ArrayBuffer> {
    const { n_coarse_codebooks: C } = this.generation_config;
    const frames = ids.length / C;
    return Int32Array.from(
      { length: ids.length },
      (_, i) => (ids[(i % frames) * C + Math.floor(i / frames)]! - this.#semanticVocab) % this.#codebook,
    );
  }

  /**
   * Cuts the history to the length the model was trained on, in whole steps of both token kinds.
   */
  #row(semantic: Int32Array, history: CoarseHistory | null): Row {
    const { n_coarse_codebooks: C } = this.generation_config;
    const length = this.outputLength(semantic.length);
    const none = { semantic, base: 0, coarse: new Int32Array(0), length };
    if (!history) return none;
    const S = history.semantic_prompt.length;
    const F = history.coarse_prompt.length / C;
    const tokens = Math.min(this.#maxSemanticHistory, S - (S % 2), Math.floor((C * F) / this.ratio));
    if (tokens <= 0) return none; // the reference would keep all of it: Python's [-0:] is everything
    const flat = Int32Array.from(
      { length: C * F },
      (_, i) =>
        this.#semanticVocab + (i % C) * this.#codebook + history.coarse_prompt[(i % C) * F + Math.floor(i / C)]!,
    );
    // The reference drops the last frame, too ("time alignment").
    const coarse = flat.slice(-roundHalfEven(tokens * this.ratio)).slice(0, -2);
    const past = history.semantic_prompt.slice(-tokens);
    return { semantic: Int32Array.of(...past, ...semantic), base: tokens, coarse, length };
  }

  get #maxSemanticHistory(): number {
    return Math.floor(this.generation_config.max_coarse_history / this.ratio);
  }

  /** First semantic token of the slice for the window that starts after `total` drawn tokens. */
  #sliceStart(row: Row, total: number): number {
    return Math.max(0, row.base + roundHalfEven(total / this.ratio) - this.#maxSemanticHistory);
  }

  /**
   * Whether the KV cache already holds this window's prompt: the semantic slice has not moved, and
   * no coarse token has dropped out of the history.
   */
  #continues(row: Row, total: number): boolean {
    const before = total - this.generation_config.sliding_window_len;
    return (
      this.#sliceStart(row, total) === this.#sliceStart(row, before) &&
      row.coarse.length + total <= this.generation_config.max_coarse_history
    );
  }

  /**
   * Throws `UnsupportedError` where the longest window of these rows has more positions than
   * block_size. The last token of a window is never fed back and needs no position.
   */
  #checkPositions(rows: readonly Row[]): void {
    const { max_coarse_input_length, max_coarse_history, sliding_window_len } = this.generation_config;
    let most = 0;
    for (const row of rows) {
      for (let total = 0; total < row.length; total += sliding_window_len) {
        const steps = Math.min(sliding_window_len, row.length - total);
        most = Math.max(
          most,
          max_coarse_input_length + 1 + Math.min(max_coarse_history, row.coarse.length + total) + steps - 1,
        );
      }
    }
    if (most > this.config.block_size) {
      throw new UnsupportedError(
        `coarse: a window of this sentence needs ${most} positions, expected at most block_size ${this.config.block_size}. Use a smaller max_coarse_history or sliding_window_len, or shorter text.`,
      );
    }
  }

  /**
   * Prefills the cache of row `b` with the window's prompt, except its last token, which the first
   * decode step feeds, and sets the row's state.
   */
  #prefill(session: Session, row: Row, b: number, total: number, pitch: number, seed: Words): void {
    const {
      max_coarse_input_length: width,
      max_coarse_history,
      coarse_semantic_pad_token,
      coarse_infer_token,
    } = this.generation_config;
    const { device } = this;
    const start = this.#sliceStart(row, total);
    const prompt = new Uint32Array(width + 1).fill(coarse_semantic_pad_token);
    prompt.set(row.semantic.subarray(start, start + width));
    prompt[width] = coarse_infer_token;
    device.write(session.promptIds, prompt);
    if (total === 0) device.write(session.tokens, row.coarse, 4 * b * pitch);

    const past = row.coarse.length + total;
    const kept = Math.min(max_coarse_history, past);
    const position = width + kept; // of the prompt's last token
    session.prefill(b, position, (commands) => {
      if (kept < 2) return;
      commands.copy(
        session.tokens.buffer,
        4 * (b * pitch + past - kept),
        session.promptIds.buffer,
        4 * (width + 1),
        4 * (kept - 1),
      );
    });
    if (total === 0) {
      const token = row.coarse.at(-1) ?? coarse_infer_token;
      writeRow(device, session.state, b, {
        token,
        position,
        step: 0,
        done: false,
        seed,
        limit: row.length,
        base: row.coarse.length,
      });
    } else {
      device.write(session.state, Uint32Array.of(position), 32 * b + 4); // its token stays: the last one drawn
    }
  }

  /**
   * Which logits a step computes and draws from: codebook 0 in even steps, codebook 1 in odd ones.
   */
  #drawing({ strictMask, temperature, topK, topP }: Draw & { strictMask: boolean }) {
    const size = this.#codebook;
    const wide = this.config.output_vocab_size - this.#semanticVocab - size;
    const odd = strictMask ? size : wide;
    return {
      window: { even: 0, odd: size, count: Math.max(size, odd) },
      sampling: {
        temperature,
        topK,
        topP,
        minEosP: null,
        eos: null,
        even: { first: this.#semanticVocab, count: size },
        odd: { first: this.#semanticVocab + size, count: odd },
      },
    };
  }
}

const STEPS = 20; // decode steps in one submit

const IDLE = { temperature: null, topK: null, topP: null, strictMask: true };

/** Python's round(): halves are rounded to the even neighbour. */
function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

// Text tokens → semantic tokens: the first stage. The prompt has exactly max_input_semantic_length
// positions, each the sum of a text embedding and a history embedding. An infer token follows it,
// and from there on the model draws tokens until it draws its end token.
// Reference: HF BarkSemanticModel.generate; suno-ai/bark generation.py generate_text_semantic.

import type { Words } from '../kernels/sample/random.ts';
import { readRows, writeRow } from '../kernels/state.ts';
import type { RowRange } from '../kernels/upload/upload.ts';
import { InputError, madeBy } from '../runtime/base/errors.ts';
import { CausalStage } from './gpt/causal_stage.ts';
import type { BarkSemanticConfig } from './config/config.ts';
import { roomForSpeech } from './config/check_generation.ts';
import type { BarkSemanticGenerationConfig } from './config/generation_config.ts';
import { createSession, Pacer, type SessionOptions } from './gpt/session.ts';
import type { CausalGpt } from './gpt/gpt.ts';
import type { Sampling } from '../kernels/sample/sample.ts';
import { checkGiven, type Draw, type StageHooks, type StageOptions } from './gpt/stage.ts';

export interface SemanticInputs {
  /** Text ids of the tokenizer, (B, W); of W the first max_input_semantic_length are used. */
  inputIds: Int32Array;
  /** 1 where there is text, (B, W). */
  attentionMask: Int32Array;
  shape: readonly [number, number];
  /** Semantic tokens of each row's voice, or null. */
  history: readonly (Int32Array | null)[];
}

export interface SemanticOptions extends Draw, StageHooks {
  /**
   * suno's rule: end where the end token has at least this probability in what is drawn from; null:
   * only where it is drawn.
   */
  minEosP: number | null;
  /**
   * transformers' rule: end where the end token has more than this probability in the logits; null
   * or left out: off.
   */
  minEosPRaw?: number | null;
  maxNewTokens: number;
  /** The key of each row's random numbers. */
  seeds: readonly Words[];
}

export interface SemanticOutput {
  /** Each row's tokens, without the end token. */
  tokens: Int32Array[];
  /** Whether the row drew its end token; otherwise it was cut at maxNewTokens. */
  ended: boolean[];
  /** Milliseconds from the call until the host has read back every row's first token. */
  firstToken: number;
}

// Decode steps in one submit. The host reads the state back once per submit, so fewer steps mean
// fewer wasted ones after a sentence has ended; rows that have ended compute nothing in them.
const STEPS = 16;

const IDLE = { temperature: null, topK: null, topP: null, minEosP: null, eos: null };

export class BarkSemanticModel extends CausalStage {
  readonly generation_config: BarkSemanticGenerationConfig;

  constructor(
    options: StageOptions = madeBy('BarkSemanticModel', 'BarkModel.fromPretrained(source)'),
    config: BarkSemanticConfig,
    generation: BarkSemanticGenerationConfig,
  ) {
    const { semantic_vocab_size: size, eos_token_id: eos, semantic_infer_token: infer } = generation;
    // Drawn can be all semantic tokens and the end token, which ends the range: where it lies among
    // the semantic tokens, the ids after it are never drawn. Fed back can be the same tokens, and
    // the infer token, which starts the speech.
    const drawn: RowRange[] =
      eos < size
        ? [[0, eos + 1]]
        : [
            [0, size],
            [eos, eos + 1],
          ];
    super(options, config, { table: [...drawn, [infer, infer + 1]], head: drawn });
    this.generation_config = generation;
  }

  /** The most tokens that a prompt leaves positions for. */
  get maxNewTokens(): number {
    return roomForSpeech(this.config, this.generation_config);
  }

  /** Semantic tokens of each row. Throws `InputError` for ids outside the vocabulary. */
  async generate(inputs: SemanticInputs, options: SemanticOptions): Promise<SemanticOutput> {
    if (this.misfit) throw this.misfit;
    const start = performance.now();
    checkGiven('semantic.generate', inputs, ['inputIds', 'attentionMask', 'shape', 'history']);
    checkGiven('semantic.generate', options, ['seeds', 'maxNewTokens']);
    const prompts = await Promise.all(Array.from({ length: inputs.shape[0] }, (_, b) => this.#promptRows(inputs, b)));
    return this.use((gpt) => this.#speak(gpt, prompts, options, start), { signal: options.signal });
  }

  async #speak(
    gpt: CausalGpt,
    prompts: readonly Float32Array[],
    options: SemanticOptions,
    start: number,
  ): Promise<SemanticOutput> {
    const { semantic_vocab_size: size, eos_token_id: eos, max_input_semantic_length: length } = this.generation_config;
    const { signal, onProgress, seeds } = options;
    const batch = prompts.length;
    const limit = Math.min(options.maxNewTokens, this.maxNewTokens);
    const eosLogit = Math.min(eos, size);
    const infer = gpt.head.weight.shape[0]!; // its row of the uploaded table: after all drawable rows
    const session = await createSession(
      this.device,
      gpt,
      this.#session(gpt, batch, limit, { ...options, eos: eosLogit }),
    );
    try {
      const pacer = new Pacer(this.device, signal);
      for (const [b, rows] of prompts.entries()) {
        this.device.write(session.promptRows!, rows);
        session.prefill(b, length);
        writeRow(this.device, session.state, b, {
          token: infer,
          position: length,
          step: 0,
          done: false,
          seed: seeds[b]!,
          limit,
          base: 0,
        });
        await pacer.submitted();
      }
      let issued = 0;
      let firstToken = 0;
      // The state after each submit. One submit runs while the host reads the state of the last.
      const looks: ReturnType<typeof readRows>[] = [];
      for (;;) {
        if (issued < limit) {
          // The first step is a submit of its own, so that `firstToken` is known early.
          const steps = Math.min(issued === 0 ? 1 : STEPS - (issued % STEPS), limit - issued);
          session.step.run(steps);
          issued += steps;
          const look = readRows(this.device, session.state, batch);
          look.catch(() => {}); // an error shows when it is awaited; if it never is, it does not matter
          looks.push(look);
        }
        if (looks.length < 2 && issued < limit) continue;
        const rows = await looks.shift()!;
        firstToken ||= performance.now() - start;
        signal?.throwIfAborted();
        const done = Math.max(...rows.map((row) => (row.done ? 0 : row.step)));
        if (rows.every((row) => row.done) || looks.length === 0) break;
        onProgress?.(done, limit);
      }
      const drawn = new Uint32Array(await this.device.read(session.tokens));
      return { ...this.#collect(drawn, limit, eosLogit, batch, onProgress), firstToken };
    } finally {
      session.dispose();
    }
  }

  protected override idleSession(gpt: CausalGpt): SessionOptions {
    return this.#session(gpt, 1, 1, IDLE);
  }

  #session(gpt: CausalGpt, batch: number, pitch: number, sampling: Omit<Sampling, 'even' | 'odd'>): SessionOptions {
    const every = { first: 0, count: gpt.head.weight.shape[0]! };
    const prompt = this.generation_config.max_input_semantic_length;
    return {
      owner: this.stage,
      batch,
      prompt,
      pitch,
      sampling: { ...sampling, even: every, odd: every },
      promptRows: true,
    };
  }

  /** Each row of the token buffer up to its end token; what follows it was never drawn. */
  #collect(
    drawn: Uint32Array,
    limit: number,
    eosLogit: number,
    batch: number,
    onProgress: StageHooks['onProgress'],
  ): Omit<SemanticOutput, 'firstToken'> {
    const tokens: Int32Array[] = [];
    const ended: boolean[] = [];
    for (let b = 0; b < batch; b++) {
      const row = drawn.subarray(b * limit, (b + 1) * limit);
      const end = row.indexOf(eosLogit);
      ended.push(end >= 0);
      tokens.push(Int32Array.from(end < 0 ? row : row.subarray(0, end)));
    }
    const longest = Math.max(...tokens.map((t) => t.length));
    onProgress?.(longest, longest);
    return { tokens, ended };
  }

  /** The prompt of row `b`, (max_input_semantic_length, H): text plus history embeddings. */
  async #promptRows({ inputIds, attentionMask, shape, history }: SemanticInputs, b: number): Promise<Float32Array> {
    const {
      max_input_semantic_length: length,
      text_encoding_offset,
      text_pad_token,
      semantic_pad_token,
    } = this.generation_config;
    const width = shape[1];
    const text = Array.from({ length }, (_, i) => {
      const at = b * width + i;
      return i < width && attentionMask[at] !== 0 ? inputIds[at]! + text_encoding_offset : text_pad_token;
    });
    const past = (history[b] ?? new Int32Array(0)).slice(-length);
    const pads = Array.from({ length: length - past.length }, () => semantic_pad_token);
    const vocab = this.config.input_vocab_size;
    const wrong = text.findIndex((id) => id < 0 || id >= vocab);
    if (wrong >= 0) {
      throw new InputError(
        `inputIds: got ${inputIds[b * width + wrong]} at [${b}, ${wrong}], expected a text token from 0 to ${vocab - 1 - text_encoding_offset}. Encode the text with this model's own BarkProcessor.`,
      );
    }
    const H = this.config.hidden_size;
    const rows = await this.embed([...text, ...past, ...pads]);
    const sum = rows.slice(0, length * H);
    for (let i = 0; i < sum.length; i++) sum[i]! += rows[length * H + i]!;
    return sum;
  }
}

// Checks the options of `generate` and completes them: a stage's own options win over options for
// all stages, and these over the checkpoint's generation_config.json. All of it happens before GPU
// work.

import { threefry2x32, type Words } from '../kernels/sample/random.ts';
import { InputError } from '../runtime/base/errors.ts';
import { shown } from '../runtime/base/messages.ts';
import { checkOptions, isList } from '../runtime/base/options.ts';
import type { BarkGenerationConfig, SamplingConfig } from './config/generation_config.ts';
import type { Draw } from './gpt/stage.ts';

/** How a causal stage draws tokens; what is left out comes from the checkpoint. */
export interface SamplingOptions {
  /** false: the likeliest token; temperature, topK and topP are then unused. */
  doSample?: boolean | undefined;
  /** Above 0; null is 1. */
  temperature?: number | null | undefined;
  /** Keep the k likeliest tokens; null or 0: all. */
  topK?: number | null | undefined;
  /** Keep the likeliest tokens of together at least this probability; null or 1: all. */
  topP?: number | null | undefined;
}

export interface ProgressEvent {
  stage: 'download' | 'convert' | 'load' | 'semantic' | 'coarse' | 'fine' | 'codec';
  /**
   * Bytes (of a download or a conversion), tensors, tokens, passes or clips done, of `total`; the
   * semantic stage may end before its total.
   */
  done: number;
  total: number;
  /** What is downloaded or written. */
  file?: string;
}

/** When the semantic stage ends before it draws its end token: by one of two rules, or by none. */
export interface EndOptions {
  /**
   * suno's rule: end the speech where the end token has at least this probability in what is drawn
   * from, that is after temperature, topK and topP. Default 0.2, as suno's; null: only where it is
   * drawn. Without drawing (doSample false) all the probability is the likeliest token's, so the
   * rule adds nothing.
   */
  minEosP?: number | null | undefined;
  /**
   * transformers' rule (its min_eos_p): end the speech where the end token has more than this
   * probability in the model's own logits, whatever temperature, topK and topP are; also without
   * drawing. Default: the checkpoint's min_eos_p, mostly none, and none beside minEosP; null: off.
   */
  minEosPRaw?: number | null | undefined;
}

export interface GenerateOptions extends SamplingOptions, EndOptions {
  /**
   * Same seed, inputs, checkpoint and adapter: same tokens, alone or in a batch. A number for all
   * rows, or one for each. Default: a random one.
   */
  seed?: number | readonly number[] | undefined;
  semantic?: (SamplingOptions & EndOptions & { maxNewTokens?: number | undefined }) | undefined;
  /**
   * `strictMask`: false lets odd steps draw ids past the second codebook, as transformers does;
   * default: true when sampling.
   */
  coarse?: (SamplingOptions & { strictMask?: boolean | undefined }) | undefined;
  /**
   * `temperature`: null takes the likeliest code; so does exactly 1, as in transformers. `doSample`
   * does not reach this stage.
   */
  fine?: { temperature?: number | null | undefined } | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: ProgressEvent) => void) | undefined;
}

/** suno's default; transformers has none. */
const MIN_EOS_P = 0.2;

/** At most one of them is a number. */
interface Ends {
  minEosP: number | null;
  minEosPRaw: number | null;
}

export interface ResolvedOptions {
  seeds: number[];
  semantic: Draw & Ends & { maxNewTokens: number };
  coarse: Draw & { strictMask: boolean };
  fine: { temperature: number | null };
}

/**
 * Throws `InputError` for a value that no stage can use. `mostNewTokens`: what the semantic model
 * has room for.
 */
export function resolveOptions(
  options: GenerateOptions,
  generation: BarkGenerationConfig,
  batch: number,
  mostNewTokens: number,
): ResolvedOptions {
  checkGiven(options);
  const { semantic = {}, coarse = {}, fine = {} } = options;
  const config = generation.semantic_config;
  if (semantic.maxNewTokens !== undefined) {
    check(
      'semantic.maxNewTokens',
      semantic.maxNewTokens,
      (n) => Number.isInteger(n) && n >= 1 && n <= mostNewTokens,
      `a whole number from 1 to ${mostNewTokens}, what this model has positions for`,
    );
  }
  const temperature = first(fine.temperature, options.temperature, generation.fine_acoustics_config.temperature);
  return {
    seeds: seeds(options.seed, batch),
    semantic: {
      ...draw(semantic, options, config),
      ...ends(semantic, options, config.min_eos_p),
      maxNewTokens: semantic.maxNewTokens ?? Math.min(config.max_new_tokens, mostNewTokens),
    },
    coarse: {
      ...draw(coarse, options, generation.coarse_acoustics_config),
      strictMask:
        coarse.strictMask ?? first(coarse.doSample, options.doSample, generation.coarse_acoustics_config.do_sample),
    },
    fine: { temperature },
  };
}

const STAGES = { semantic: 0, coarse: 1, fine: 2 } as const;

/** The key of a row's random numbers in one stage. */
export function stageSeed(seed: number, stage: keyof typeof STAGES): Words {
  return threefry2x32([seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0], [STAGES[stage], 0]);
}

function draw(own: SamplingOptions, bare: SamplingOptions, config: SamplingConfig): Draw {
  if (!first(own.doSample, bare.doSample, config.do_sample)) return { temperature: null, topK: null, topP: null };
  const temperature = first(own.temperature, bare.temperature, config.temperature) ?? 1;
  const topK = first(own.topK, bare.topK, config.top_k) || null;
  const topP = first(own.topP, bare.topP, config.top_p);
  return { temperature, topK, topP };
}

/**
 * The rule for the end. Who names minEosP, null included, replaces the checkpoint's rule; suno's
 * default is for where the other rule is off.
 */
function ends(own: EndOptions, bare: EndOptions, checkpoint: number | null): Ends {
  const given = first(own.minEosP, bare.minEosP, undefined);
  const minEosPRaw = first(own.minEosPRaw, bare.minEosPRaw, given === undefined ? checkpoint : null);
  const minEosP = first(given, minEosPRaw === null ? MIN_EOS_P : null);
  const named = (key: keyof Ends) => (own[key] === undefined ? key : `semantic.${key}`);
  if (minEosP !== null && minEosPRaw !== null)
    throw new InputError(
      `${named('minEosP')}: got ${minEosP} with ${named('minEosPRaw')} ${minEosPRaw}, expected one of them: they are two rules for the same end. Leave one out, or set it to null.`,
    );
  return { minEosP, minEosPRaw };
}

/** The first value that is given; null is one. */
function first<T>(...values: [...(T | undefined)[], T]): T {
  return values.find((value) => value !== undefined) as T;
}

function check(name: string, value: number, allowed: (value: number) => boolean, expected: string): void {
  if (typeof value !== 'number' || !allowed(value)) throw wrong(name, value, expected);
}

function wrong(name: string, value: unknown, expected: string): InputError {
  return new InputError(`${name}: got ${shown(value, 'setting')}, expected ${expected}.`);
}

function seeds(seed: GenerateOptions['seed'], batch: number): number[] {
  // The seeds of an output that went through a Worker may be a typed array.
  const given = isList(seed) ? Array.from(seed as ArrayLike<number>) : Array.from({ length: batch }, () => seed);
  if (given.length !== batch)
    throw new InputError(`seed: got ${given.length} seeds for ${batch} rows, expected one, or one for each row.`);
  for (const s of given)
    if (s !== undefined)
      check('seed', s, (n) => Number.isSafeInteger(n) && n >= 0, 'a whole number from 0 to 2^53 - 1');
  const random = crypto.getRandomValues(new Uint32Array(batch));
  return given.map((s, b) => s ?? random[b]!);
}

const DOOR = 'model.generate';

const KEYS = {
  '': [
    'doSample',
    'temperature',
    'topK',
    'topP',
    'minEosP',
    'minEosPRaw',
    'seed',
    'semantic',
    'coarse',
    'fine',
    'signal',
    'onProgress',
  ],
  semantic: ['doSample', 'temperature', 'topK', 'topP', 'minEosP', 'minEosPRaw', 'maxNewTokens'],
  coarse: ['doSample', 'temperature', 'topK', 'topP', 'strictMask'],
  fine: ['temperature'],
} as const;

type Rule = readonly [expected: string, allowed: (value: number) => boolean];

const PROBABILITY: Rule = ['a probability above 0 up to 1, or null', (p) => p > 0 && p <= 1];

/** What numbers may be, wherever they are given. null is always allowed. */
const NUMBERS: Readonly<Record<string, Rule>> = {
  temperature: [
    'a number above 0 (for the likeliest tokens set doSample to false)',
    (t) => t > 0 && Number.isFinite(t),
  ],
  topK: ['a whole number from 1, or null', (k) => Number.isInteger(k) && k >= 0 && k < 2 ** 31],
  topP: ['a probability from 0 (the likeliest token alone) to 1, or null', (p) => p >= 0 && p <= 1],
  minEosP: PROBABILITY,
  minEosPRaw: PROBABILITY,
};
const FINE_TEMPERATURE: Rule = ['a number above 0, or null for the likeliest code', NUMBERS.temperature![1]];

/**
 * Throws `InputError` for unknown names and for values that cannot be, each named where it was
 * given, also where another option makes it unused.
 */
function checkGiven(options: GenerateOptions): void {
  for (const [stage, keys] of Object.entries(KEYS)) {
    const given: unknown = stage === '' ? options : options[stage as 'semantic'];
    checkOptions(DOOR, given, keys, stage === '' ? {} : { at: stage });
    for (const [key, value] of Object.entries(given ?? {}) as [string, number | null | undefined][]) {
      const rule = stage === 'fine' ? FINE_TEMPERATURE : Object.hasOwn(NUMBERS, key) ? NUMBERS[key] : undefined;
      if (rule && value !== undefined && value !== null)
        check(stage === '' ? key : `${stage}.${key}`, value, rule[1], rule[0]);
    }
  }
}

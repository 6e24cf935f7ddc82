// What Bark's stages have in common: where a stage gets its weights from, how it draws tokens, and
// how it reports to its caller.

import { InputError, UnsupportedError } from '../../runtime/base/errors.ts';
import { shown } from '../../runtime/base/messages.ts';
import { isBag } from '../../runtime/base/options.ts';
import type { WeightDType } from '../../kernels/upload/matrix.ts';
import type { Device } from '../../runtime/compute/device.ts';
import type { LoadProgress } from '../../runtime/compute/residency.ts';
import type { Weights } from '../../runtime/formats/weights.ts';

/**
 * What `BarkModel` does with each of its four stages, whatever they compute: the three GPTs and the
 * codec.
 */
export interface Stage {
  /** Number of times `upload` calls `onTensor`; the stage's share of the progress bar's total. */
  readonly tensors: number;
  /**
   * Has the driver compile every pipeline that `generate` or `decode` will need; no weights needed.
   */
  compile(): Promise<void>;
  /** Runs these pipelines once on next to nothing: some drivers finish compiling only then. */
  warmUp(): Promise<void>;
  /** Brings the weights to the GPU; does nothing when they are there. */
  upload(progress?: LoadProgress): Promise<void>;
  /** Frees the weights as soon as nothing runs on them; the next use uploads them again. */
  unload(): void;
}

/** Where a stage lives and where its weights come from. */
export interface StageOptions {
  device: Device;
  /** The checkpoint at this stage's path, for example `weights.at('semantic')`. */
  weights: Weights;
  /** How matrices and KV caches are stored on the GPU. */
  dtype: WeightDType;
  /** Thrown by `generate`: generation_config.json does not fit this model. */
  misfit?: Error | undefined;
}

/**
 * How tokens are drawn. A filter of null is off; a temperature of null takes the likeliest token.
 */
export interface Draw {
  temperature: number | null;
  topK: number | null;
  topP: number | null;
}

/** How a stage's caller stops it and follows it. */
export interface StageHooks {
  signal?: AbortSignal | undefined;
  /** Tokens (fine stage: passes) done, of at most `total`. */
  onProgress?: ((done: number, total: number) => void) | undefined;
}

/** Throws `InputError` for what one stage's own `generate` needs and was not given. */
export function checkGiven(door: string, given: unknown, keys: readonly string[]): void {
  const missing = isBag(given) ? keys.find((key) => (given as Record<string, unknown>)[key] === undefined) : keys[0];
  if (missing !== undefined)
    throw new InputError(
      `${door}: got ${isBag(given) ? `no ${missing}` : shown(given, 'setting')}, expected { ${keys.join(', ')} }. model.generate(inputs, options) runs all stages and fills them in.`,
    );
}

/** The answer to `fromPretrained` of a single stage, which transformers has. */
export async function noStageAlone(name: string, members: string): Promise<never> {
  throw new UnsupportedError(
    `${name}.fromPretrained: got one stage, expected the whole model: BarkModel.fromPretrained(source, { offload: true }) brings only the weights of the stage that runs to the GPU. Use its ${members}.`,
  );
}

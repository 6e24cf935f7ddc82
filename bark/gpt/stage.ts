// What the three GPT stages share: how they are made, and how a run of one is told about and drawn.

import type { WeightDType } from '../../kernels/upload/upload.ts';
import type { Device } from '../../runtime/compute/device.ts';
import type { Weights } from '../../runtime/formats/weights.ts';

/** How tokens are drawn; null turns a filter off, a temperature of null draws the likeliest. */
export interface Draw {
  temperature: number | null;
  topK: number | null;
  topP: number | null;
}

export interface StageHooks {
  signal?: AbortSignal | undefined;
  /** Tokens (or passes) done, of at most `total`. */
  onProgress?: ((done: number, total: number) => void) | undefined;
}

export interface StageOptions {
  device: Device;
  /** The checkpoint at this model's path. */
  weights: Weights;
  dtype: WeightDType;
}

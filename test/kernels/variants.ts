// What the tests share that run every form of a product of many rows.

import { NEVER, variantsOf, type Variant } from '../../kernels/common/choices.ts';
import type { Device } from '../../runtime/compute/device.ts';

export interface VariantCase {
  readonly variant: Variant;
  /** Which tile of the matrix form; the other forms have one. */
  readonly hugeTileFrom?: number;
  readonly largeTileFrom?: number;
  /** x is f16 already. */
  readonly exact: boolean;
}

const TILES = [
  { hugeTileFrom: NEVER, largeTileFrom: NEVER },
  { hugeTileFrom: NEVER, largeTileFrom: 0 },
  { hugeTileFrom: 0, largeTileFrom: 0 },
];

/**
 * Each form that works on this device; the matrix form with each tile, and on x that it has to
 * round and that it has not.
 */
export const variantCases = (device: Device): VariantCase[] =>
  variantsOf(device).flatMap((variant): VariantCase[] =>
    variant === 'subgroup_matrix'
      ? TILES.flatMap((tile) => [false, true].map((exact) => ({ variant, ...tile, exact })))
      : [{ variant, exact: false }],
  );

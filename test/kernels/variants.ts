// What the tests share that run every form of a product of many rows.

import { variantsOf, type Variant } from '../../kernels/common/choices.ts';
import type { Device } from '../../runtime/compute/device.ts';

export interface VariantCase {
  readonly variant: Variant;
  /** Below it the small tile of the matrix form; the other forms have one. */
  readonly largeTileFrom?: number;
  /** x is f16 already. */
  readonly exact: boolean;
}

/**
 * Each form that works on this device; the matrix form with either tile, and on x that it has to
 * round and that it has not.
 */
export const variantCases = (device: Device): VariantCase[] =>
  variantsOf(device).flatMap((variant): VariantCase[] =>
    variant === 'subgroup_matrix'
      ? [0, 1 << 30].flatMap((largeTileFrom) => [false, true].map((exact) => ({ variant, largeTileFrom, exact })))
      : [{ variant, exact: false }],
  );

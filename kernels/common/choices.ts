// What suits which adapter, where there is more than one way to the same numbers. Everybody asks
// here; tests name a form themselves.
// The table is by kind of adapter; what was measured on the adapter at hand (`device.tuning`, from
// `bark bench --tune`) comes before it, and what the device cannot do comes before both. (Subgroups
// or not is a matter of capability alone: linear.ts, gemvVariant.)

import type { Device } from '../../runtime/compute/device.ts';
import { subgroupMatrixUnit } from './subgroup_matrix.ts';
import { isSoftware } from '../../runtime/compute/adapter.ts';

/**
 * Forms of the kernels for many rows. `tile` passes operands through workgroup memory or caches:
 * every adapter. `lanes` hands registers from lane to lane: drivers that compute on the CPU,
 * measured on Mesa 25 lavapipe (README.md has the numbers). `matrix` multiplies with the subgroup's
 * matrix unit (tensor cores), f16 weights only.
 */
export type Variant = 'tile' | 'simd8' | 'subgroup_matrix';

export interface Choices {
  /** `linear` and `qkv` of many rows. */
  readonly gemm: Variant;
  /** In the form `matrix`: from so many workgroups on they own the large tile. */
  readonly largeTileFrom: number;
  /** `attention` of many queries. */
  readonly attention: Variant;
  /** Convolutions of the codec. */
  readonly conv: Exclude<Variant, 'subgroup_matrix'>;
  /** Rows of a matrix that a group of lanes walks at once in a decode step: 1, 2 or 4. */
  readonly gemvRows: number;
  /** Threads of a workgroup there. */
  readonly gemvThreads: number;
  /**
   * Threads that such a walk over a matrix should be spread over at least: where its rows are too
   * few for that, groups of lanes share rows.
   */
  readonly gemvSpread: number;
  /**
   * 1: weights are asked for a step before they are needed. 0: less code, for drivers that compile
   * for seconds.
   */
  readonly gemvAhead: number;
  /** Rows of x that share such a walk, of the 8 that common/gemv.wgsl can. */
  readonly gemvBatch: number;
  /** Threads that share a head in the attention of a decode step. */
  readonly attentionDecodeThreads: number;
}

type Kind = 'software' | 'gpu';

/** Before anything is measured, and before it is asked what a device can do. */
export const DEFAULTS: Readonly<Record<Kind, Choices>> = {
  software: {
    gemm: 'simd8',
    largeTileFrom: 160,
    attention: 'simd8',
    conv: 'simd8',
    gemvRows: 4,
    gemvThreads: 64,
    gemvSpread: 0,
    gemvAhead: 0,
    gemvBatch: 8,
    attentionDecodeThreads: 16,
  },
  gpu: {
    gemm: 'subgroup_matrix',
    largeTileFrom: 160,
    attention: 'subgroup_matrix',
    conv: 'tile',
    gemvRows: 4,
    gemvThreads: 256,
    gemvSpread: 1 << 16,
    gemvAhead: 1,
    gemvBatch: 8,
    attentionDecodeThreads: 1024,
  },
};

/**
 * Lanes that work is dealt out for where kernels take subgroups as they come: 32, where the adapter
 * says there can be so many, because that is what GPUs have whose lists are longer (Apple's: 4 to
 * 64). Subgroups of another size cost time, not correctness.
 */
export const subgroupLanes = ({ capabilities: c }: Device): number =>
  Math.min(Math.max(32, c.subgroupMinSize), c.subgroupMaxSize);

/** The lanes form is written for subgroups of exactly 8. */
const hasSimd8 = ({ capabilities: c }: Device): boolean =>
  c.subgroups && c.subgroupMinSize === 8 && c.subgroupMaxSize === 8;

/** Forms that work on this device; tests run each. */
export const variantsOf = (device: Device): readonly Variant[] => [
  'tile',
  ...(hasSimd8(device) ? (['simd8'] as const) : []),
  ...(subgroupMatrixUnit(device) ? (['subgroup_matrix'] as const) : []),
];

/** What stands in for `matrix` where operands are not f16. */
export const variantWithoutSubgroupMatrix = (device: Device): Variant =>
  isSoftware(device.info) && hasSimd8(device) ? 'simd8' : 'tile';

/**
 * What each may be, the most promising first: what `bark bench --tune` tries, and all that is taken
 * from a tuning.
 */
const VALUES: { readonly [K in keyof Choices]: readonly Choices[K][] } = {
  gemm: ['subgroup_matrix', 'simd8', 'tile'],
  largeTileFrom: [160, 0, 1 << 30],
  attention: ['subgroup_matrix', 'simd8', 'tile'],
  conv: ['simd8', 'tile'],
  gemvRows: [2, 1, 4],
  gemvThreads: [256, 128, 64],
  gemvSpread: [1 << 16, 1 << 15, 1 << 17, 0],
  gemvAhead: [1, 0],
  gemvBatch: [8, 4, 2, 1],
  attentionDecodeThreads: [1024, 512, 256, 64, 16],
};

/** Of them those that work on this device; none for a name that is not known. */
export function valuesOf(device: Device, name: string): readonly (string | number)[] {
  if (!Object.hasOwn(VALUES, name)) return [];
  const fits = (value: string | number): boolean =>
    typeof value === 'string'
      ? (variantsOf(device) as readonly string[]).includes(value)
      : !name.endsWith('Threads') || value <= device.limits.maxComputeInvocationsPerWorkgroup;
  return (VALUES[name as keyof Choices] as readonly (string | number)[]).filter(fits);
}

/**
 * What programs that are recorded now on this device are made of. A tuning may come from anywhere:
 * what it has besides is left out.
 */
export function choices(device: Device): Choices {
  const measured = Object.fromEntries(
    Object.entries(device.tuning).filter(([name, value]) => valuesOf(device, name).includes(value)),
  );
  const chosen: Choices = { ...DEFAULTS[isSoftware(device.info) ? 'software' : 'gpu'], ...measured };
  const variants = variantsOf(device);
  const able = <F extends Variant>(variant: F): F | 'tile' => (variants.includes(variant) ? variant : 'tile');
  return { ...chosen, gemm: able(chosen.gemm), attention: able(chosen.attention), conv: able(chosen.conv) };
}

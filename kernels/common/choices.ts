// Which variant of a kernel, and which parameters, suit a device where several give the same
// result. Every kernel asks `choices()`; tests name a variant themselves.
// Three sources decide, the stronger one later: a table by kind of adapter, what `bark bench
// --tune` measured on this adapter (`device.tuning`), and what the device cannot do. Whether the
// subgroup variant of a decode kernel is used depends on the device's capabilities alone
// (products.ts, gemvVariant).

import { isSoftware } from '../../runtime/compute/adapter.ts';
import type { Device } from '../../runtime/compute/device.ts';
import { subgroupMatrixUnit } from './subgroup_matrix.ts';

/**
 * Variants of the kernels that process many rows at once. `tile` shares operands through workgroup
 * memory and caches and runs on every adapter. `simd8` passes operands between the registers of a
 * subgroup of 8; it is for drivers that compute on the CPU, and was measured on Mesa 25 lavapipe
 * (MEASUREMENTS.md has the numbers). `subgroup_matrix` multiplies on the matrix unit (tensor cores)
 * and needs f16 weights.
 */
export type Variant = 'tile' | 'simd8' | 'subgroup_matrix';

export interface Choices {
  /** Variant of `linear` and `qkv` with many rows (a GEMM). */
  readonly gemm: Variant;
  /**
   * `subgroup_matrix` uses its huge tile when that gives at least so many workgroups, else its
   * large one when that does.
   */
  readonly hugeTileFrom: number;
  readonly largeTileFrom: number;
  /** Variant of `attention` with many queries. */
  readonly attention: Variant;
  /** Variant of the codec's convolutions. */
  readonly conv: Exclude<Variant, 'subgroup_matrix'>;
  /** Matrix rows that one group of lanes computes together in a decode step's GEMV: 1, 2 or 4. */
  readonly gemvRows: number;
  /** Threads of a workgroup of the GEMV. */
  readonly gemvThreads: number;
  /** Minimum number of threads for one matrix. Below it, several lane groups split each row. */
  readonly gemvSpread: number;
  /**
   * 1: load weights one step before they are needed. 0: shorter code, for drivers that take seconds
   * to compile.
   */
  readonly gemvAhead: number;
  /** Batch rows processed in one pass over the matrix; common/gemv.wgsl can do 8. */
  readonly gemvBatch: number;
  /** Threads for one head in the attention of a decode step. */
  readonly attentionDecodeThreads: number;
}

/** Vendors of GPUs with a row of their own; names as in WebGPU's GPUAdapterInfo. */
const VENDORS = ['nvidia', 'intel', 'apple', 'amd'] as const;

type Kind = 'processor' | 'software' | 'gpu' | (typeof VENDORS)[number];

/** As `…TileFrom`: more workgroups than there are. */
export const NEVER = 1 << 30;

const GPU: Choices = {
  gemm: 'subgroup_matrix',
  hugeTileFrom: NEVER,
  largeTileFrom: 160,
  attention: 'subgroup_matrix',
  conv: 'tile',
  gemvRows: 4,
  gemvThreads: 256,
  gemvSpread: 1 << 16,
  gemvAhead: 1,
  gemvBatch: 8,
  attentionDecodeThreads: 1024,
};

/** The table by kind of adapter. A tuning and what the device cannot do come on top. */
export const DEFAULTS: Readonly<Record<Kind, Choices>> = {
  // A processor's kernels have one form each (the .as.ts files), under the names of the base files.
  processor: { ...GPU, gemm: 'tile', attention: 'tile', conv: 'tile' },
  software: {
    gemm: 'simd8',
    hugeTileFrom: NEVER,
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
  gpu: GPU,
  // Measured on an H200 (MEASUREMENTS.md). The huge tile holds 128 sums a lane in registers, of
  // which NVIDIA's compiler gives 255 to a thread.
  nvidia: { ...GPU, hugeTileFrom: 80, gemvBatch: 4, attentionDecodeThreads: 256 },
  // By what is known of the hardware, not measured here: `bark bench --tune` knows better.
  // A workgroup of 1,024 takes more than half of the threads that a core has (16 units · 7 · 16
  // lanes), so that a second head does not fit beside it.
  intel: { ...GPU, attentionDecodeThreads: 256 },
  // Metal lowers a pipeline's most threads with the registers that it uses, and a head of 64
  // channels is soon summed.
  apple: { ...GPU, attentionDecodeThreads: 256 },
  // 16 waves of 32: four on each of a work-group processor's four units, which hide loads.
  amd: { ...GPU, attentionDecodeThreads: 512 },
};

/** The row of the table for this adapter. */
function kindOf({ kind, info }: Device): Kind {
  if (kind === 'wasm') return 'processor';
  if (isSoftware(info)) return 'software';
  return VENDORS.find((vendor) => vendor === info.vendor) ?? 'gpu';
}

/**
 * The subgroup size that kernels divide their work for when the driver chooses the size: 32 where
 * the adapter allows it, because GPUs that report a range (Apple's: 4 to 64) really have 32; of
 * Intel's 8 to 32 it is 16, at which a lane has twice the registers. A subgroup of another size
 * costs time, not correctness.
 */
export const subgroupLanes = ({ capabilities: c, info }: Device): number =>
  Math.min(Math.max(info.vendor === 'intel' ? 16 : 32, c.subgroupMinSize), c.subgroupMaxSize);

/** The simd8 variant is written for subgroups of exactly 8. */
const hasSimd8 = ({ capabilities: c }: Device): boolean =>
  c.subgroups && c.subgroupMinSize === 8 && c.subgroupMaxSize === 8;

/** The variants that work on this device. Tests run each of them. */
export const variantsOf = (device: Device): readonly Variant[] => [
  'tile',
  ...(hasSimd8(device) ? (['simd8'] as const) : []),
  ...(subgroupMatrixUnit(device) ? (['subgroup_matrix'] as const) : []),
];

/** The variant to use instead of `subgroup_matrix`, for example because operands are not f16. */
export const variantWithoutSubgroupMatrix = (device: Device): Variant =>
  isSoftware(device.info) && hasSimd8(device) ? 'simd8' : 'tile';

/**
 * The values that each choice may have, the most promising first. `bark bench --tune` tries these,
 * and no other value is accepted from a tuning.
 */
const VALUES: { readonly [K in keyof Choices]: readonly Choices[K][] } = {
  gemm: ['subgroup_matrix', 'simd8', 'tile'],
  hugeTileFrom: [80, NEVER],
  largeTileFrom: [160, 0, NEVER],
  attention: ['subgroup_matrix', 'simd8', 'tile'],
  conv: ['simd8', 'tile'],
  gemvRows: [2, 1, 4],
  gemvThreads: [256, 128, 64],
  gemvSpread: [1 << 16, 1 << 15, 1 << 17, 0],
  gemvAhead: [1, 0],
  gemvBatch: [8, 4, 2, 1],
  attentionDecodeThreads: [1024, 512, 256, 64, 16],
};

/**
 * The values of choice `name` that work on this device; empty for an unknown name, and on a
 * processor, which has nothing to choose.
 */
export function valuesOf(device: Device, name: string): readonly (string | number)[] {
  if (!Object.hasOwn(VALUES, name) || device.kind === 'wasm') return [];
  const fits = (value: string | number): boolean =>
    typeof value === 'string'
      ? (variantsOf(device) as readonly string[]).includes(value)
      : !name.endsWith('Threads') || value <= device.limits.maxComputeInvocationsPerWorkgroup;
  return (VALUES[name as keyof Choices] as readonly (string | number)[]).filter(fits);
}

/**
 * The choices for programs recorded on this device from now on. A tuning may come from a file that
 * anyone wrote, so unknown names and values that do not work here are ignored.
 */
export function choices(device: Device): Choices {
  const measured = Object.fromEntries(
    Object.entries(device.tuning).filter(([name, value]) => valuesOf(device, name).includes(value)),
  );
  const chosen: Choices = { ...DEFAULTS[kindOf(device)], ...measured };
  const variants = variantsOf(device);
  const able = <F extends Variant>(variant: F): F | 'tile' => (variants.includes(variant) ? variant : 'tile');
  return { ...chosen, gemm: able(chosen.gemm), attention: able(chosen.attention), conv: able(chosen.conv) };
}

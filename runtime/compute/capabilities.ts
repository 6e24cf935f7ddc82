// What of a GPU the kernels' variants are chosen by: the optional features of WebGPU that they use,
// as the device at hand has them.

/** What variants are chosen by. */
export interface Capabilities {
  readonly subgroups: boolean;
  /** Lanes of a subgroup; both 0 without subgroups. */
  readonly subgroupMinSize: number;
  readonly subgroupMaxSize: number;
  /** Whether a shader can say how many lanes its subgroups have. */
  readonly subgroupSizeControl: boolean;
  readonly f16: boolean;
  readonly timestamps: boolean;
  /**
   * Sizes and types of matrices that a subgroup multiplies at once (tensor cores); empty without.
   */
  readonly subgroupMatrices: readonly SubgroupMatrixConfig[];
}

/**
 * One entry of the adapter's own list: (M, K) · (K, N) of `componentType`, summed in
 * `resultComponentType`.
 */
export interface SubgroupMatrixConfig {
  readonly componentType: string; // 'f16', 'f32', 'u8', …
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

const SUBGROUP_MATRIX = 'chromium-experimental-subgroup-matrix'; // Dawn's name while the proposal is young

/**
 * Features that are asked for where the adapter has them. A portable device computes with core
 * WebGPU only.
 */
export const wantedFeatures = (portable: boolean): readonly string[] =>
  portable
    ? ['timestamp-query']
    : ['timestamp-query', 'shader-f16', 'subgroups', 'subgroup-size-control', SUBGROUP_MATRIX];

/**
 * `subgroupId`: WGSL here has `subgroup_id`, which came to it later than subgroups; the kernels use
 * it.
 */
export function capabilitiesOf(features: ReadonlySet<string>, info: GPUAdapterInfo, subgroupId: boolean): Capabilities {
  const subgroups = subgroupId && features.has('subgroups');
  return {
    subgroups,
    subgroupMinSize: subgroups ? (info.subgroupMinSize ?? 4) : 0,
    subgroupMaxSize: subgroups ? (info.subgroupMaxSize ?? 128) : 0,
    subgroupSizeControl: subgroups && features.has('subgroup-size-control'),
    f16: features.has('shader-f16'),
    timestamps: features.has('timestamp-query'),
    subgroupMatrices: subgroups && features.has(SUBGROUP_MATRIX) ? subgroupMatrixConfigs(info) : [],
  };
}

/** Dawn's list, as plain objects; @webgpu/types does not know it yet. */
function subgroupMatrixConfigs(info: GPUAdapterInfo): SubgroupMatrixConfig[] {
  const { subgroupMatrixConfigs = [] } = info as GPUAdapterInfo & {
    subgroupMatrixConfigs?: Iterable<SubgroupMatrixConfig>;
  };
  return [...subgroupMatrixConfigs].map(({ componentType, resultComponentType, M, N, K }) => ({
    componentType,
    resultComponentType,
    M,
    N,
    K,
  }));
}

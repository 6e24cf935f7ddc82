// Which of the adapter's matrix units the kernels multiply with, and their shaders with its sizes
// put in.
// Sizes of WGSL's matrix types must be constants of the module, where an override will not do, so
// they are replaced in the text.

import type { Device } from '../../runtime/compute/device.ts';
import type { Shader } from '../../runtime/compute/shader.ts';
import { shader } from '../shaders.ts';

/** Matrices that a subgroup of `lanes` multiplies at once: (M, K) · (K, N), f16 in, f32 sums. */
export interface SubgroupMatrixUnit {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly lanes: number;
}

// The most wanted first: the larger, the fewer loads for a product. Lanes are what the driver wants
// of subgroups whose size can be chosen.
export const UNITS: readonly SubgroupMatrixUnit[] = [
  { M: 16, N: 16, K: 16, lanes: 32 }, // NVIDIA, AMD
  { M: 8, N: 16, K: 16, lanes: 16 }, // Intel Xe2
  { M: 8, N: 8, K: 8, lanes: 8 }, // lavapipe of Mesa 26
];

/**
 * The unit that this device's kernels are made for; none without f16, without a size that they
 * know, or where a shader cannot choose how many lanes its subgroups have (Dawn on Metal), because
 * tiles are dealt out to subgroups by that number.
 */
export function subgroupMatrixUnit({ capabilities: c }: Device): SubgroupMatrixUnit | undefined {
  if (!c.f16 || !c.subgroupSizeControl) return undefined;
  const offered = ({ M, N, K }: SubgroupMatrixUnit): boolean =>
    c.subgroupMatrices.some(
      (m) => m.componentType === 'f16' && m.resultComponentType === 'f32' && m.M === M && m.N === N && m.K === K,
    );
  const unit = UNITS.find(offered);
  return unit && { ...unit, lanes: Math.min(Math.max(unit.lanes, c.subgroupMinSize), c.subgroupMaxSize) };
}

/**
 * The shader with the unit's sizes, and with `constants`, in place of those that stand in its text.
 */
export function subgroupMatrixShader(
  name: string,
  unit: SubgroupMatrixUnit,
  constants: Readonly<Record<string, number>> = {},
): Shader {
  const all = { MATRIX_M: unit.M, MATRIX_N: unit.N, MATRIX_K: unit.K, SUBGROUP: unit.lanes, ...constants };
  const full = `${name} (${Object.entries(all)
    .map(([constant, value]) => `${constant}=${value}`)
    .join(' ')})`;
  let made = shaders.get(full);
  if (!made) shaders.set(full, (made = { ...shader(name), name: full, code: withConstants(shader(name), all) }));
  return made;
}
const shaders = new Map<string, Shader>();

/** Replaces the values of `const NAME = …u;`; lines stay where they are. */
function withConstants(base: Shader, constants: Readonly<Record<string, number>>): string {
  let { code } = base;
  for (const [name, value] of Object.entries(constants)) {
    const declaration = new RegExp(`^const ${name} = \\d+u;`, 'm');
    if (!declaration.test(code)) throw new Error(`kernels/${base.name}.wgsl has no line 'const ${name} = …u;'.`);
    code = code.replace(declaration, `const ${name} = ${value}u;`);
  }
  return code;
}

/**
 * How a product of many rows is dealt out: subgroups below and beside each other, each with 2 ×
 * `across` matrices of sums.
 */
interface Tile {
  readonly down: number;
  readonly beside: number;
  readonly across: 2 | 4;
}

// By the unit of 16 × 16 × 16: 128 × 128 with few loads for a product, and 64 × 128 of smaller
// shares where the large ones would be too few to go round.
const LARGE: Tile = { down: 4, beside: 2, across: 4 };
const SMALL: Tile = { down: 2, beside: 4, across: 2 };

export interface SubgroupMatrixGemm {
  readonly shader: Shader;
  readonly rows: number;
  readonly columns: number;
}

/**
 * `base` (linear, qkv) for an (m, n) product: its shader and the tile of a workgroup. The large
 * tile from `largeFrom` workgroups on. None where the device cannot, or rows of n are not whole
 * vec4s.
 */
export function subgroupMatrixGemm(
  device: Device,
  base: string,
  m: number,
  n: number,
  largeFrom: number,
): SubgroupMatrixGemm | undefined {
  const unit = subgroupMatrixUnit(device);
  if (!unit || n % 4 !== 0) return undefined;
  const large = fit(device, base, unit, LARGE);
  return large && Math.ceil(m / large.rows) * Math.ceil(n / large.columns) >= largeFrom
    ? large
    : fit(device, base, unit, SMALL);
}

function fit(
  { limits }: Device,
  base: string,
  unit: SubgroupMatrixUnit,
  { down, beside, across }: Tile,
): SubgroupMatrixGemm | undefined {
  const rows = down * 2 * unit.M;
  const columns = beside * across * unit.N;
  const threads = down * beside * unit.lanes;
  const bytes = (buffers: number): number =>
    16 * Math.max(buffers * 5 * (rows + columns), down * beside * unit.M * (unit.N / 4 + 1)); // `staged`
  const buffers = bytes(2) <= limits.maxComputeWorkgroupStorageSize ? 2 : 1;
  if (
    bytes(buffers) > limits.maxComputeWorkgroupStorageSize ||
    threads > Math.min(limits.maxComputeInvocationsPerWorkgroup, limits.maxComputeWorkgroupSizeX)
  )
    return undefined;
  return {
    shader: subgroupMatrixShader(`${base}_subgroup_matrix`, unit, {
      SUBGROUPS_M: down,
      SUBGROUPS_N: beside,
      ACROSS: across,
      BUFFERS: buffers,
    }),
    rows,
    columns,
  };
}

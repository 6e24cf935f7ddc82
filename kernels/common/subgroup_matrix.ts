// Which of the adapter's subgroup-matrix sizes (tensor cores) the kernels use, and the shaders with
// those sizes filled in. WGSL wants the sizes of its matrix types as constants of the module and
// takes no overrides there, so the constants are replaced in the shader's text.

import type { Device } from '../../runtime/compute/device.ts';
import type { Shader } from '../../runtime/compute/shader.ts';
import { shader } from '../shaders.ts';

/** One multiply of a subgroup of `lanes` threads: (M, K) · (K, N), f16 operands, f32 sums. */
export interface SubgroupMatrixUnit {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly lanes: number;
}

// The sizes that the kernels know, the preferred one first: larger matrices need fewer loads for
// the same product. `lanes` is the subgroup size that the shader asks for where it can choose one.
export const UNITS: readonly SubgroupMatrixUnit[] = [
  { M: 16, N: 16, K: 16, lanes: 32 }, // NVIDIA, AMD
  { M: 8, N: 16, K: 16, lanes: 16 }, // Intel Xe2
  { M: 8, N: 8, K: 8, lanes: 8 }, // lavapipe of Mesa 26
];

/**
 * The unit that this device's kernels use. Undefined without f16, without a size that the kernels
 * know, or where a shader cannot fix its subgroup size (Dawn on Metal), because the kernels assign
 * parts of a tile to subgroups by that size.
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
 * The shader `name` with the unit's sizes and `constants` in place of the values in its text. The
 * same arguments give the same object. Throws where the shader does not declare one of the names.
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

/** Replaces the value in each `const NAME = …u;`. Line numbers stay the same. */
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
 * The tile of a workgroup: `below` × `beside` subgroups, each of which sums `down` × `across`
 * matrices of the output.
 */
interface Tile {
  readonly below: number;
  readonly beside: number;
  readonly down: 2 | 4;
  readonly across: 2 | 4;
}

// With the 16 × 16 × 16 unit, HUGE is 128 × 256 outputs, which needs the fewest loads and the most
// registers; LARGE is 128 × 128, and SMALL is 64 × 128, for products that would give too few of the
// larger tiles to occupy the whole GPU.
const HUGE: Tile = { below: 2, beside: 4, down: 4, across: 4 };
const LARGE: Tile = { below: 4, beside: 2, down: 2, across: 4 };
const SMALL: Tile = { below: 2, beside: 4, down: 2, across: 2 };

/** The numbers of workgroups from which on the two larger tiles are used. */
export interface TileThresholds {
  readonly hugeTileFrom: number;
  readonly largeTileFrom: number;
}

/** A GEMM shader and the output tile of one of its workgroups. */
export interface SubgroupMatrixGemm {
  readonly shader: Shader;
  readonly rows: number;
  readonly columns: number;
}

/**
 * The subgroup-matrix shader of `base` (linear or qkv) for an (m, n) output, with the largest tile
 * that gives enough workgroups. Undefined where the device has no unit or too little workgroup
 * memory, or where n is not a multiple of 4, because outputs are stored as vec4s.
 */
export function subgroupMatrixGemm(
  device: Device,
  base: string,
  m: number,
  n: number,
  { hugeTileFrom, largeTileFrom }: TileThresholds,
): SubgroupMatrixGemm | undefined {
  const unit = subgroupMatrixUnit(device);
  if (!unit || n % 4 !== 0) return undefined;
  for (const [tile, from] of [
    [HUGE, hugeTileFrom],
    [LARGE, largeTileFrom],
  ] as const) {
    const [rows, columns] = sides(unit, tile);
    if (Math.ceil(m / rows) * Math.ceil(n / columns) < from) continue;
    const fitting = fit(device, base, unit, tile);
    if (fitting) return fitting;
  }
  return fit(device, base, unit, SMALL);
}

/** Rows and columns of the output that a tile holds. */
const sides = (unit: SubgroupMatrixUnit, { below, beside, down, across }: Tile): [rows: number, columns: number] => [
  below * down * unit.M,
  beside * across * unit.N,
];

/** The shader with this tile, double-buffered if both buffers fit; undefined if none fits. */
function fit({ limits }: Device, base: string, unit: SubgroupMatrixUnit, tile: Tile): SubgroupMatrixGemm | undefined {
  const { below, beside, down, across } = tile;
  const [rows, columns] = sides(unit, tile);
  const threads = below * beside * unit.lanes;
  const bytes = (buffers: number): number =>
    16 * Math.max(buffers * 5 * (rows + columns), below * beside * unit.M * (unit.N / 4 + 1)); // array `staged`
  const buffers = bytes(2) <= limits.maxComputeWorkgroupStorageSize ? 2 : 1;
  if (
    bytes(buffers) > limits.maxComputeWorkgroupStorageSize ||
    threads > Math.min(limits.maxComputeInvocationsPerWorkgroup, limits.maxComputeWorkgroupSizeX)
  )
    return undefined;
  return {
    shader: subgroupMatrixShader(`${base}_subgroup_matrix`, unit, {
      SUBGROUPS_M: below,
      SUBGROUPS_N: beside,
      DOWN: down,
      ACROSS: across,
      BUFFERS: buffers,
    }),
    rows,
    columns,
  };
}

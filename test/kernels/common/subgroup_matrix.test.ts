// Products on a matrix unit that is not here: which one of an adapter's list is taken, that the
// shaders are valid for each (Dawn's null backend), that their tiles are dealt out right for each
// (its arithmetic emulated, on small whole numbers), and what is made of a unit that computes
// nonsense. linear.test.ts and qkv.test.ts run the form where the adapter has a unit.
// Needs: a device, on default, portable, swiftshader and subgroup_matrix.

import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { bindingsOf, expand } from '../../../kernels/expand.ts';
import { choices } from '../../../kernels/common/choices.ts';
import {
  subgroupMatrixGemm,
  subgroupMatrixShader,
  subgroupMatrixUnit,
  UNITS,
  type SubgroupMatrixUnit,
} from '../../../kernels/common/subgroup_matrix.ts';
import { shader } from '../../../kernels/shaders.ts';
import { createUniform, writeCall } from '../../../kernels/state.ts';
import type { Capabilities, SubgroupMatrixConfig } from '../../../runtime/compute/capabilities.ts';
import type { Device } from '../../../runtime/compute/device.ts';
import { record } from '../../../runtime/compute/program.ts';
import { bindGroupLayout, compile, type Shader } from '../../../runtime/compute/shader.ts';
import { testDevice } from '../../device.ts';
import { download, filled, free, onlyFull, UNTOUCHED, upload } from '../tensors.ts';
import { config } from './units.ts';

const test = suite('subgroup_matrix');

const LIMITS = {
  maxComputeWorkgroupStorageSize: 49_152,
  maxComputeInvocationsPerWorkgroup: 1024,
  maxComputeWorkgroupSizeX: 1024,
};

function fake(
  description: string,
  [min, max]: [number, number],
  subgroupMatrices: SubgroupMatrixConfig[],
  more: Partial<Capabilities> = {},
  limits = LIMITS,
): Device {
  const capabilities: Capabilities = {
    subgroups: true,
    subgroupMinSize: min,
    subgroupMaxSize: max,
    subgroupSizeControl: true,
    f16: true,
    timestamps: false,
    subgroupMatrices,
    ...more,
  };
  return {
    info: { description, vendor: '', architecture: '', device: '' },
    capabilities,
    limits,
    tuning: {},
  } as unknown as Device;
}

const nvidia = [
  config(16, 8, 16),
  config(16, 8, 8, 'f16', 'f16'),
  config(16, 16, 16, 'f16', 'f16'),
  config(16, 16, 16),
  config(16, 16, 32, 'u8', 'u32'),
];

test("the unit is the largest of the adapter's list that the kernels know, with f32 sums", () => {
  const unit = (...args: Parameters<typeof fake>): unknown => subgroupMatrixUnit(fake(...args));
  assert.equal(unit('NVIDIA H200', [32, 32], nvidia), { M: 16, N: 16, K: 16, lanes: 32 });
  assert.equal(unit('AMD Radeon', [32, 64], [config(16, 16, 16), config(8, 8, 8)]), { M: 16, N: 16, K: 16, lanes: 32 });
  assert.equal(unit('AMD Instinct', [64, 64], [config(16, 16, 16)]), { M: 16, N: 16, K: 16, lanes: 64 });
  assert.equal(unit('Intel Arc', [16, 32], [config(8, 16, 16)]), { M: 8, N: 16, K: 16, lanes: 16 });
  assert.equal(unit('llvmpipe: Mesa 26', [8, 8], [config(8, 8, 8, 'f16', 'f16'), config(8, 8, 8)]), {
    M: 8,
    N: 8,
    K: 8,
    lanes: 8,
  });
  assert.is(unit('only f16 sums', [32, 32], [config(16, 16, 16, 'f16', 'f16')]), undefined);
  assert.is(unit('only f32', [32, 32], [config(8, 8, 8, 'f32', 'f32')]), undefined);
  assert.is(unit('a size of its own', [32, 32], [config(16, 8, 16)]), undefined);
  assert.is(unit('Apple M4', [4, 64], [config(8, 8, 8)], { subgroupSizeControl: false }), undefined);
  assert.is(unit('no f16', [32, 32], nvidia, { f16: false }), undefined);
});

test('products are dealt out to as many workgroups as go round', () => {
  const h200 = fake('NVIDIA H200', [32, 32], nvidia);
  const thresholds = choices(h200);
  const tile = (device: Device, m: number, n: number): unknown => {
    const made = subgroupMatrixGemm(device, 'linear', m, n, thresholds);
    return made && [made.rows, made.columns];
  };
  assert.equal(tile(h200, 1024, 1024), [64, 128]);
  assert.equal(tile(h200, 1024, 3072), [128, 128]);
  assert.equal(tile(h200, 887, 4096), [128, 128]);
  assert.equal(tile(h200, 257, 4096), [64, 128]);
  // NVIDIA's row of the table: 128 × 256 where that gives 80 workgroups.
  const nvidiaRow = choices({ ...h200, info: { ...h200.info, vendor: 'nvidia' } } as Device);
  const huge = (m: number, n: number): unknown => {
    const made = subgroupMatrixGemm(h200, 'linear', m, n, nvidiaRow)!;
    return [made.rows, made.columns];
  };
  assert.equal(huge(1024, 4096), [128, 256]);
  assert.equal(huge(887, 3072), [128, 256]);
  assert.equal(huge(512, 4096), [64, 128]);
  assert.equal(huge(1024, 1024), [64, 128]);
  const buffers = (device: Device, n: number): string | undefined =>
    /const BUFFERS = \d+u/.exec(subgroupMatrixGemm(device, 'qkv', 1024, n, thresholds)!.shader.code)?.[0];
  assert.is(buffers(h200, 4096), 'const BUFFERS = 2u');
  const less = (storage: number, invocations = 1024): Device =>
    fake(
      'small',
      [32, 32],
      nvidia,
      {},
      { ...LIMITS, maxComputeWorkgroupStorageSize: storage, maxComputeInvocationsPerWorkgroup: invocations },
    );
  assert.is(buffers(less(32_768), 4096), 'const BUFFERS = 1u');
  assert.is(buffers(less(32_768), 1024), 'const BUFFERS = 2u');
  assert.equal(tile(less(16_384), 1024, 4096), [64, 128]); // the large tile does not fit
  assert.is(tile(less(16_384, 128), 1024, 4096), undefined);
  assert.is(tile(h200, 1024, 1022), undefined); // y is written four at a time
});

test('constants are replaced, lines stay, and a name that is not there is told', () => {
  const unit: SubgroupMatrixUnit = { M: 8, N: 16, K: 16, lanes: 16 };
  const made = subgroupMatrixShader('linear_subgroup_matrix', unit, { ACROSS: 4 });
  assert.match(made.code, /^const MATRIX_M = 8u;$/m);
  assert.match(made.code, /^const SUBGROUP = 16u;/m);
  assert.match(made.code, /^const ACROSS = 4u;/m);
  assert.is(made.code.split('\n').length, shader('linear_subgroup_matrix').code.split('\n').length);
  assert.is(made.name, 'linear_subgroup_matrix (MATRIX_M=8 MATRIX_N=16 MATRIX_K=16 SUBGROUP=16 ACROSS=4)');
  assert.is(subgroupMatrixShader('linear_subgroup_matrix', unit, { ACROSS: 4 }), made);
  assert.throws(
    () => subgroupMatrixShader('linear_subgroup_matrix', unit, { NOTHING: 4 }),
    /kernels\/linear_subgroup_matrix\.wgsl has no line 'const NOTHING/,
  );
});

/** Each unit with the lanes it may have, and a tile. */
const TILES = [
  { SUBGROUPS_M: 4, SUBGROUPS_N: 2, DOWN: 2, ACROSS: 4 },
  { SUBGROUPS_M: 2, SUBGROUPS_N: 4, DOWN: 2, ACROSS: 2 },
  { SUBGROUPS_M: 2, SUBGROUPS_N: 4, DOWN: 4, ACROSS: 4 },
];

const variants = [...UNITS, { ...UNITS[0]!, lanes: 64 }, { ...UNITS[1]!, lanes: 32 }].flatMap((unit) =>
  TILES.map((tile) => ({ unit, tile })),
);

test('every unit and tile makes a pipeline, as far as a driver of nothing can tell', async () => {
  const gpu = await import('webgpu').then(
    (m) => m.create(['backend=null', 'enable-dawn-features=allow_unsafe_apis']),
    () => null,
  );
  const adapter = await gpu?.requestAdapter();
  if (!gpu || !adapter) return console.log('skip: npm webgpu does not load here');
  const device = await adapter.requestDevice({
    requiredFeatures: [
      'shader-f16',
      'subgroups',
      'subgroup-size-control',
      'chromium-experimental-subgroup-matrix',
    ] as GPUFeatureName[],
  });
  for (const base of ['linear', 'qkv']) {
    for (const { unit, tile } of variants) {
      // Its workgroup memory is 16 KiB: half the columns at a time, and one buffer. Where that is
      // still too little, only the module is made.
      const made = subgroupMatrixShader(`${base}_subgroup_matrix`, unit, { ...tile, BUFFERS: 1, EIGHTS: 2 });
      const sides = tile.SUBGROUPS_M * tile.DOWN * unit.M + tile.SUBGROUPS_N * tile.ACROSS * unit.N;
      if (tile.SUBGROUPS_M * tile.SUBGROUPS_N * unit.lanes <= 256 && 16 * 3 * sides <= 16_384)
        await compile(device, made, bindGroupLayout(device, made), {});
      // With what an H200 has room for, the module.
      const real = subgroupMatrixShader(`${base}_subgroup_matrix`, unit, { ...tile, BUFFERS: 2 });
      device.pushErrorScope('validation');
      const { messages } = await device.createShaderModule({ code: real.code }).getCompilationInfo();
      assert.equal(
        messages.map((m) => m.message),
        [],
        real.name,
      );
      assert.is(await device.popErrorScope(), null);
    }
  }
  device.destroy();
  void [gpu, adapter];
});

const read = (file: string): string =>
  readFileSync(
    new URL(
      file === 'common/subgroup_matrix.wgsl' ? 'subgroup_matrix_emulated.wgsl' : `../../../kernels/${file}`,
      import.meta.url,
    ),
    'utf8',
  );

/**
 * linear_subgroup_matrix with arithmetic in place of the matrix unit, and threads counted off in
 * place of subgroups.
 */
function emulated(unit: SubgroupMatrixUnit, constants: Record<string, number>): Shader {
  const { code: body, runs } = expand('linear/linear_subgroup_matrix.wgsl', read);
  let code = body
    .replace(/^enable (subgroups|subgroup_size_control|chromium_experimental_subgroup_matrix);$/gm, '')
    .replace(' @subgroup_size(SUBGROUP)', '')
    .replace('@builtin(subgroup_id) subgroup: u32, ', '')
    .replace('k < EIGHTS;', 'k < stay(EIGHTS);')
    .replace(/^ {2}gemm\(.*$/m, '  lane = thread % SUBGROUP;\n  gemm(group.y, group.x, thread / SUBGROUP, thread);');
  for (const [name, value] of Object.entries({
    MATRIX_M: unit.M,
    MATRIX_N: unit.N,
    MATRIX_K: unit.K,
    SUBGROUP: unit.lanes,
    ...constants,
  }))
    code = code.replace(new RegExp(`^const ${name} = \\d+u;`, 'm'), `const ${name} = ${value}u;`);
  return {
    name: `emulated ${JSON.stringify([unit, constants])}`,
    code,
    runs,
    bindings: bindingsOf('linear/linear_subgroup_matrix.wgsl', code),
  };
}

// Each takes a software driver's compiler 5 to 15 s the first time.
for (const { unit, tile } of [variants[1]!, ...onlyFull(variants[0]!, ...variants.slice(2))]) {
  test(`tiles of ${JSON.stringify(unit)} ${JSON.stringify(tile)}, its arithmetic emulated`, async () => {
    const device = await testDevice();
    if (!device.capabilities.f16) return;
    const [m, n, k] = [150, 148, 72];
    const count = 131; // ends in the middle of a tile
    const rows = tile.SUBGROUPS_M * tile.DOWN * unit.M;
    const columns = tile.SUBGROUPS_N * tile.ACROSS * unit.N;
    const threads = tile.SUBGROUPS_M * tile.SUBGROUPS_N * unit.lanes;
    const BUFFERS = 160 * (rows + columns) <= device.limits.maxComputeWorkgroupStorageSize ? 2 : 1;
    if (threads > device.limits.maxComputeInvocationsPerWorkgroup) return;
    const wholes = (length: number, step: number): Float32Array =>
      Float32Array.from({ length }, (_, i) => ((i * step) % 31) - 15);
    const [xs, ws] = [wholes(m * k, 7), wholes(n * k, 11)];
    const [x, w, y] = [await upload(xs, [m, k]), await upload(ws, [n, k], 'f16'), await upload(filled(m * n), [m, n])];
    const call = createUniform(device, 3, 'test', 'call');
    writeCall(device, call, { count });
    const program = await record(
      device,
      (r) =>
        r.dispatch(emulated(unit, { ...tile, BUFFERS }), {
          bind: { sizes: [k, n, 0, 0, 0], call, x, w, bias: x, y },
          grid: [Math.ceil(n / columns), Math.ceil(m / rows)],
        }),
      { label: 'emulated' },
    );
    program.run();
    const expected = Float32Array.from({ length: m * n }, (_, i) => {
      if (i >= count * n) return UNTOUCHED;
      let sum = 0;
      for (let j = 0; j < k; j++) sum += xs[Math.floor(i / n) * k + j]! * ws[(i % n) * k + j]!;
      return sum;
    });
    const got = await download(y);
    const wrong = got.findIndex((v, i) => v !== expected[i]);
    assert.is(wrong, -1, `[${Math.floor(wrong / n)}, ${wrong % n}]: got ${got[wrong]}, expected ${expected[wrong]}`);
    program.dispose();
    await free(x, w, y, call);
  });
}

test.run();

// Which adapter gets which form of the kernels for many rows.
// Needs: a device, on default, portable, swiftshader and subgroup_matrix.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  choices,
  subgroupLanes,
  variantsOf,
  variantWithoutSubgroupMatrix,
  valuesOf,
} from '../../../kernels/common/choices.ts';
import type { Device } from '../../../runtime/compute/device.ts';
import { profile, testDevice } from '../../device.ts';

const variantFor = (device: Device) => choices(device).gemm;

const test = suite('choice');

const fake = (description: string, min: number, max: number): Device =>
  ({
    info: { description, vendor: '', architecture: '', device: '' },
    capabilities: {
      subgroups: max > 0,
      subgroupMinSize: min,
      subgroupMaxSize: max,
      f16: false,
      timestamps: false,
      subgroupMatrices: [],
    },
    tuning: {},
  }) as unknown as Device;

test('registers go from lane to lane on the CPU with subgroups of 8, and nowhere else', () => {
  assert.is(variantFor(fake('llvmpipe: Mesa 25.0.7 (LLVM 15.0.6)', 8, 8)), 'simd8');
  assert.is(variantFor(fake('llvmpipe: Mesa 25.0.7 (LLVM 15.0.6)', 4, 4)), 'tile');
  assert.is(variantFor(fake('llvmpipe: Mesa 25.0.7 (LLVM 15.0.6)', 0, 0)), 'tile');
  assert.is(variantFor(fake('SwiftShader Device', 4, 4)), 'tile');
  assert.is(variantFor(fake('NVIDIA H200', 32, 32)), 'tile');
  assert.is(variantFor(fake('Intel Arc', 8, 32)), 'tile');
  assert.is(variantFor(fake('a GPU with subgroups of 8', 8, 8)), 'tile');
  assert.equal(variantsOf(fake('a GPU with subgroups of 8', 8, 8)), ['tile', 'simd8']);
});

test('matrix units are used by GPUs that have them in a size and with the features that the kernels need, and by nobody else unasked', () => {
  const withUnit = (
    description: string,
    lanes: number,
    M: number,
    more: Partial<Device['capabilities']> = {},
    tuning: Device['tuning'] = {},
  ): Device => {
    const base = fake(description, lanes, lanes);
    const subgroupMatrices = [{ componentType: 'f16', resultComponentType: 'f32', M, N: M, K: M }];
    return {
      ...base,
      capabilities: { ...base.capabilities, f16: true, subgroupSizeControl: true, subgroupMatrices, ...more },
      tuning,
    } as Device;
  };
  assert.is(variantFor(withUnit('NVIDIA H200', 32, 16)), 'subgroup_matrix');
  assert.equal(variantsOf(withUnit('NVIDIA H200', 32, 16)), ['tile', 'subgroup_matrix']);
  assert.is(variantFor(withUnit('NVIDIA H200', 32, 16, {}, { gemm: 'tile' })), 'tile');
  assert.is(variantFor(withUnit('NVIDIA H200', 32, 32)), 'tile'); // a size they do not know
  assert.is(variantFor(withUnit('NVIDIA H200', 32, 16, { f16: false })), 'tile');
  assert.is(variantFor(withUnit('NVIDIA H200', 32, 16, { subgroupSizeControl: false })), 'tile');
  const mesa26 = 'llvmpipe: Mesa 26.1.6 (LLVM 19.1.7)';
  assert.is(variantFor(withUnit(mesa26, 8, 8)), 'simd8');
  assert.is(variantFor(withUnit(mesa26, 8, 8, {}, { gemm: 'subgroup_matrix' })), 'subgroup_matrix');
  assert.is(variantWithoutSubgroupMatrix(withUnit(mesa26, 8, 8)), 'simd8');
  assert.is(variantWithoutSubgroupMatrix(withUnit('NVIDIA H200', 32, 16)), 'tile');
});

test('a GPU has the row of its vendor, and Intel subgroups of 16 where it may choose', () => {
  const of = (vendor: string, min = 32, max = 32): Device => {
    const device = fake('a GPU', min, max);
    return { ...device, info: { ...device.info, vendor } } as Device;
  };
  const threads = (vendor: string): number => choices(of(vendor)).attentionDecodeThreads;
  assert.equal(
    ['nvidia', 'intel', 'apple', 'amd', 'qualcomm', 'processor'].map(threads),
    [256, 256, 256, 512, 1024, 1024],
  );
  assert.equal(
    [of('intel', 8, 32), of('intel', 32, 32), of('apple', 4, 64), of('amd', 32, 64), of('', 64, 64)].map(subgroupLanes),
    [16, 32, 32, 32, 64],
  );
});

test('the variant of this adapter is one that works on it', async () => {
  const device = await testDevice();
  assert.ok(variantsOf(device).includes(variantFor(device)));
  if (profile === 'portable') assert.is(variantFor(device), 'tile');
});

test('a tuning is taken at its word only where this device can do it', async () => {
  const device = await testDevice();
  const { tuning } = device;
  try {
    device.tuning = {};
    const defaults = choices(device);
    for (const nonsense of [
      { gemm: 'nonsense', attention: 7, conv: 'subgroup_matrix' },
      { gemvRows: 3, gemvThreads: -1, gemvBatch: '4', attentionDecodeThreads: 1e9, largeTileFrom: NaN },
      { nonsense: 1, constructor: 'x', toString: 'simd8' },
    ]) {
      device.tuning = nonsense as unknown as typeof tuning;
      assert.equal(choices(device), defaults, JSON.stringify(nonsense));
    }
    device.tuning = { gemm: 'tile', gemvBatch: 2 };
    assert.equal(choices(device), { ...defaults, gemm: 'tile', gemvBatch: 2 });
    for (const name of Object.keys(defaults))
      for (const value of valuesOf(device, name)) {
        device.tuning = { [name]: value };
        assert.equal(choices(device), { ...defaults, [name]: value });
      }
  } finally {
    device.tuning = tuning;
  }
});

test.run();

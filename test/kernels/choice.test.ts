// Which adapter gets which form of the kernels for many rows.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { choices, formsOf } from '../../kernels/choice.ts';
import type { Device } from '../../runtime/device.ts';
import { profile, testDevice } from '../device.ts';

const formFor = (device: Device) => choices(device).gemm;

const test = suite('choice');

const fake = (description: string, min: number, max: number): Device =>
  ({ info: { description, vendor: '', architecture: '', device: '' }, capabilities: { subgroups: max > 0, subgroupMinSize: min, subgroupMaxSize: max, f16: false, timestamps: false, matrices: [] }, tuning: {} }) as unknown as Device;

test('registers go from lane to lane on the CPU with subgroups of 8, and nowhere else', () => {
  assert.is(formFor(fake('llvmpipe: Mesa 25.0.7 (LLVM 15.0.6)', 8, 8)), 'lanes');
  assert.is(formFor(fake('llvmpipe: Mesa 25.0.7 (LLVM 15.0.6)', 4, 4)), 'tile');
  assert.is(formFor(fake('llvmpipe: Mesa 25.0.7 (LLVM 15.0.6)', 0, 0)), 'tile');
  assert.is(formFor(fake('SwiftShader Device', 4, 4)), 'tile');
  assert.is(formFor(fake('NVIDIA H200', 32, 32)), 'tile');
  assert.is(formFor(fake('Intel Arc', 8, 32)), 'tile');
  assert.is(formFor(fake('a GPU with subgroups of 8', 8, 8)), 'tile');
  assert.equal(formsOf(fake('a GPU with subgroups of 8', 8, 8)), ['tile', 'lanes']);
});

test('the form of this adapter is one that works on it', async () => {
  const device = await testDevice();
  assert.ok(formsOf(device).includes(formFor(device)));
  if (profile === 'portable') assert.is(formFor(device), 'tile');
});

test.run();

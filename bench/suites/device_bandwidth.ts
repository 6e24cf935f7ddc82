// How fast memory is copied and read, for the suite `device`.

import type { Device } from '../../runtime/compute/device.ts';
import { record } from '../../runtime/compute/program.ts';
import { basisMs, copyBandwidth, measure } from '../measure/gpu_time.ts';
import { rounded, type BenchOptions } from '../measure/harness.ts';
import { benchShader } from '../shaders.ts';
import { isSoftware } from '../../runtime/compute/adapter.ts';
import { words, type DeviceCases, type Say } from '../measure/device_report.ts';

/** Workgroups of 256 threads that the reading kernel runs with. */
const READ_GROUPS = 1024;

export async function bandwidth(
  device: Device,
  { readBytes }: DeviceCases,
  options: BenchOptions,
  say: Say,
): Promise<void> {
  const basis = isSoftware(device.info) ? 'processor time, so of one core' : 'time of the GPU';
  say('copy, buffer to buffer', rounded(await copyBandwidth(device, options), 2), 'GB/s, read and written', {
    detail: isSoftware(device.info) ? basis : 'the clock',
  });
  const unit = 16 * 4 * READ_GROUPS * 256;
  const size =
    unit *
    Math.max(
      1,
      Math.floor(Math.min(readBytes, device.limits.maxStorageBufferBindingSize, device.limits.maxBufferSize) / unit),
    );
  const owner = { name: 'bench read' };
  try {
    const x = device.createTensor([size / 4], 'u32', owner, 'x');
    const sums = words(device, 256 * READ_GROUPS, owner, 'sums');
    const piece = Uint32Array.from({ length: (1 << 20) / 4 }, (_, i) => Math.imul(i + 1, 2654435761));
    for (let at = 0; at < size; at += piece.byteLength) device.write(x, piece, at);
    const program = await record(
      device,
      (r) =>
        r.dispatch(benchShader('sum'), { overrides: { GROUPS: READ_GROUPS }, bind: { x, sums }, grid: [READ_GROUPS] }),
      { label: 'sum' },
    );
    program.run();
    const total = (values: Uint32Array): number => values.reduce((sum, v) => (sum + v) >>> 0, 0);
    const [got, expected] = [
      total(new Uint32Array(await device.read(sums))),
      Math.imul(total(piece), size / piece.byteLength) >>> 0,
    ];
    if (got !== expected) throw new Error(`sum of ${size} bytes: got ${got}, expected ${expected}.`);
    const time = await measure(device, (times) => program.run(times), {
      repeats: options.repeats,
      budgetMs: options.quick ? 1000 : 5000,
    });
    say('read, a kernel that sums', rounded(size / basisMs(device, time) / 1e6, 2), 'GB/s', {
      bytes: size,
      detail: basis,
    });
    program.dispose();
  } finally {
    device.destroyOwned(owner);
  }
}

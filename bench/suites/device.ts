// The suite `device`: what to know about an adapter before any other measurement on it. It reports
// features and limits, checks f16 conversions and arithmetic, and times dispatches, submits,
// uploads and read-backs. No operation of Bark runs here; the suite `kernels` times those.
// Of a processor it reports how near the kernels come to what it can do (device_cores.ts).
// A chain of dispatches adds 1 to every number each time; it is timed only if the result is right.

import { WebGpuBackend } from '../../runtime/compute/webgpu/backend.ts';
import { cpus } from 'node:os';
import type { Device } from '../../runtime/compute/device.ts';
import { record, type Program } from '../../runtime/compute/program.ts';
import type { Tensor } from '../../runtime/compute/tensor.ts';
import { cpuMs, measure, variantOf } from '../measure/gpu_time.ts';
import { checkHalves } from './halves.ts';
import { median, rounded, type BenchOptions, type Result, type Suite } from '../measure/harness.ts';
import { machineOf, requestDevice } from '../measure/machine.ts';
import { benchShader } from '../shaders.ts';
import { isSoftware, requestAdapter } from '../../runtime/compute/adapter.ts';
import { type Say, type DeviceCases, words, expectAll, medianMs } from '../measure/device_report.ts';
import { bandwidth } from './device_bandwidth.ts';
import { cores, CORE_CASES } from './device_cores.ts';

/** The limits that kernels or weights can run into. */
const LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxUniformBufferBindingSize',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupsPerDimension',
  'minStorageBufferOffsetAlignment',
  'minUniformBufferOffsetAlignment',
] as const;
const CHAINS = [1, 10, 100, 1000];
const WIDE = 512; // workgroups of a dispatch that fills a GPU
const STAMP_MS = 0.066; // Dawn rounds timestamps to this; what is not longer than a few is not told

async function describe(device: Device, say: Say): Promise<void> {
  const adapter = await requestAdapter();
  const { vendor, architecture, description, device: model, subgroupMinSize, subgroupMaxSize } = adapter.info;
  // Long texts go last, where they widen no column.
  for (const [name, value] of Object.entries({ vendor, architecture, device: model, driver: description }))
    say(`adapter, ${name}`, null, '', { detail: value || null });
  say('adapter, software', `${isSoftware(adapter.info)}`);
  for (const [name, features] of Object.entries({ features: adapter.features, 'features in use': device.features }))
    say(name, features.size, '', { detail: [...features].sort().join(' ') });
  for (const name of LIMITS) say(name, adapter.limits[name]);
  say('subgroup sizes', subgroupMinSize === undefined ? null : `${subgroupMinSize} to ${subgroupMaxSize}`);
  const { subgroupMatrices } = device.capabilities;
  say('subgroup matrices', subgroupMatrices.length, '', {
    detail:
      subgroupMatrices.map((c) => `${c.componentType}→${c.resultComponentType} ${c.M}×${c.N}×${c.K}`).join(', ') ||
      null,
  });
  const processors = cpus();
  say('host, threads', processors.length, '', {
    detail: `${processors[0]?.model.trim() ?? 'unknown processor'}, ${process.platform}, Node ${process.versions.node}`,
  });
}

/** Whether all are right. */
async function halves(device: Device, say: Say): Promise<boolean> {
  let right = true;
  for (const { what, wrong, example, ...counts } of await checkHalves(device)) {
    right &&= wrong === 0;
    const also = Object.entries(counts)
      .filter(([name, count]) => name !== 'compared' && count !== 0)
      .map(([name, count]) => `${name} ${count}`);
    say(`halves, ${what}`, wrong === 0 ? 'right' : `${wrong} wrong`, `of ${counts.compared}`, {
      ...counts,
      wrong,
      detail: [example, ...also].filter(Boolean).join('; ') || null,
    });
  }
  if (!device.capabilities.f16) say('halves, f16', null, '', { detail: 'no shader-f16' });
  return right;
}

/**
 * Dispatches in one pass: each reads what the one before it wrote, or none has to do with another.
 */
async function dispatches(device: Device, { chains }: DeviceCases, options: BenchOptions, say: Say): Promise<void> {
  const owner = { name: 'bench chain' };
  const timing = { repeats: options.quick ? 5 : 3 * options.repeats, budgetMs: options.quick ? 800 : 5000, times: 1 };
  const perDispatch = async (
    probe: string,
    n: number,
    run: () => void,
    more: Record<string, number>,
  ): Promise<number> => {
    const time = await measure(device, run, timing);
    const gpuUs = time.gpuMs === null || time.gpuMs < 4 * STAMP_MS ? null : rounded((1000 * time.gpuMs) / n, 3);
    say(probe, rounded((1000 * time.ms) / n, 3), 'µs each', {
      gpuUs,
      cpuUs: rounded((1000 * time.cpuMs) / n, 3),
      runs: time.runs,
      ...more,
    });
    return time.gpuMs !== null && gpuUs !== null ? time.gpuMs : time.ms;
  };
  try {
    for (const groups of [1, WIDE]) {
      const [a, b] = [words(device, 64 * groups, owner, 'a'), words(device, 64 * groups, owner, 'b')];
      const step = (from: Tensor, to: Tensor) => ({ bind: { x: from, y: to }, grid: [groups] as [number] });
      const one = await record(device, (r) => r.dispatch(benchShader('next'), step(a, b)), { label: 'one' });
      const two = await record(
        device,
        (r) => {
          for (const s of [step(a, b), step(b, a)]) r.dispatch(benchShader('next'), s);
        },
        { label: 'two' },
      );
      const took: [number, number][] = [];
      for (const n of chains) {
        const run = n === 1 ? () => one.run() : () => two.run(n / 2);
        device.write(a, new Uint32Array(64 * groups));
        run();
        await expectAll(device, n === 1 ? b : a, n, `${n} dependent dispatches of ${groups} × 64 threads`);
        took.push([n, await perDispatch(`dependent dispatches, ${n} of ${groups} × 64`, n, run, { count: n, groups })]);
      }
      // Of the two longest chains, so that what submitting and waiting cost is not in it. On a busy
      // machine the longer one may seem to take less: then it could not be measured.
      const [[n1, t1], [n2, t2]] = took.slice(-2) as [[number, number], [number, number]];
      const more = rounded((1000 * (t2 - t1)) / (n2 - n1), 3);
      say(`dependent dispatch of ${groups} × 64`, more > 0 ? more : null, 'µs for each more', { groups });
      one.dispose();
      two.dispose();
    }
    const most = Math.max(...chains);
    const x = words(device, 64, owner, 'x');
    const ys = Array.from({ length: most }, (_, i) => words(device, 64, owner, `y${i}`));
    const apart = await record(
      device,
      (r) => {
        for (const y of ys) r.dispatch(benchShader('next'), { bind: { x, y }, grid: [1] });
      },
      { label: 'apart' },
    );
    apart.run();
    for (const i of [0, most >> 1, most - 1])
      await expectAll(device, ys[i]!, 1, `independent dispatch ${i} of ${most}`);
    await perDispatch(`independent dispatches, ${most} of 1 × 64`, most, () => apart.run(), { count: most, groups: 1 });
    await host(device, apart, x, options, say);
    apart.dispose();
  } finally {
    device.destroyOwned(owner);
  }
}

/**
 * What the host's thread pays. `program` has many dispatches, each with its own bind group; `x` is
 * a small buffer.
 */
async function host(device: Device, program: Program, x: Tensor, { quick }: BenchOptions, say: Say): Promise<void> {
  const n = program.dispatches;
  const { backend } = device;
  if (!(backend instanceof WebGpuBackend)) return; // these are costs of WebGPU's calls
  const times = quick ? 10 : 50;
  const clock = (run: () => void): number => {
    const start = performance.now();
    run();
    return performance.now() - start;
  };
  const us = (ms: number): number => rounded(1000 * ms, 2);
  const encoded: number[] = [];
  const finished: number[] = [];
  const submitted: number[] = [];
  for (let i = 0; i < times; i++) {
    const commands = backend.commands('host');
    encoded.push(clock(() => program.encode(commands)));
    let buffer: GPUCommandBuffer;
    finished.push(clock(() => (buffer = commands.encoder.finish())));
    submitted.push(clock(() => device.gpu.queue.submit([buffer])));
    await device.settle();
  }
  for (const [what, all] of Object.entries({ encode: encoded, finish: finished, submit: submitted }))
    say(`host, ${what} a dispatch`, us(median(all) / n), 'µs', { count: n });
  const bindGroupMs = await medianMs(times, () =>
    clock(() => {
      const shader = benchShader('next');
      for (let i = 0; i < 100; i++)
        device.gpu.createBindGroup({
          layout: backend.layout(shader),
          entries: shader.bindings.map((_, binding) => ({ binding, resource: { buffer: x.buffer as GPUBuffer } })),
        });
    }),
  );
  say('host, createBindGroup', us(bindGroupMs / 100), 'µs');
  for (const bytes of [4, 256, 1 << 16]) {
    const data = new Uint8Array(bytes);
    const target = bytes <= 256 ? x : device.createTensor([bytes / 4], 'u32', 'bench', 'upload');
    const ms = await medianMs(times, async () => {
      const taken = clock(() => {
        for (let i = 0; i < 20; i++) device.write(target, data);
      });
      await device.settle();
      return taken / 20;
    });
    say(`host, writeBuffer of ${bytes} bytes`, us(ms), 'µs');
    if (target !== x) device.destroyBuffer(target.buffer);
  }
  const tiny = await record(
    device,
    (r) => {
      const y = r.temp([64], 'y', 'u32');
      r.dispatch(benchShader('next'), { bind: { x, y }, grid: [1] });
    },
    { label: 'tiny' },
  );
  const awaited = async (run: () => Promise<unknown>): Promise<number> => {
    const start = performance.now();
    await run();
    return performance.now() - start;
  };
  tiny.run();
  await device.settle();
  say(
    'submit and onSubmittedWorkDone',
    us(await medianMs(times, () => awaited(() => (tiny.run(), device.settle())))),
    'µs',
  );
  say(
    'submit and mapAsync of 4 bytes',
    us(await medianMs(times, () => awaited(() => (tiny.run(), device.read(x, 0, 4))))),
    'µs',
  );
  tiny.dispose();
}

/** `device` with other sizes, for tests. */
export async function runDevice(
  options: BenchOptions,
  emit: (result: Result) => void,
  note: (text: string) => void,
  cases: DeviceCases = { chains: CHAINS, readBytes: options.quick ? 64 << 20 : 1 << 30, cores: CORE_CASES },
): Promise<void> {
  const begin = cpuMs();
  const start = performance.now();
  const device = await requestDevice(options);
  const say: Say = (probe, value, unit = '', more = {}) =>
    emit({
      suite: 'device',
      model: 'none',
      layers: 0,
      ...machineOf(device),
      dtype: 'float32',
      variant: variantOf(device),
      probe,
      value,
      unit,
      ...more,
    });
  try {
    if (device.kind === 'wasm') {
      // What the rest looks at are WebGPU's drivers.
      await cores(device, cases.cores, options, say);
      return;
    }
    await describe(device, say);
    const started = performance.now();
    await device.pipeline(benchShader('next'), {});
    say('first pipeline', rounded(performance.now() - started), 'ms');
    const right = await halves(device, say);
    await dispatches(device, cases, options, say);
    await bandwidth(device, cases, options, say);
    note(
      `device: ${rounded((performance.now() - start) / 1000)} s by the clock, ${rounded((cpuMs() - begin) / 1000)} s of processor time`,
    );
    if (!right)
      throw new Error(
        `halves are wrong on '${device.name}': see the lines that begin with 'halves'. What this library computes in float16 there is not to be trusted.`,
      );
  } finally {
    device.dispose();
  }
}

export const device: Suite = {
  name: 'device',
  about: 'the adapter: what it has, whether halves are right on it, what dispatches, submits and read-backs cost',
  columns: ['probe', 'value', 'unit', 'gpuUs', 'cpuUs', 'detail'],
  run: (options, emit, note) => runDevice(options, emit, note),
};

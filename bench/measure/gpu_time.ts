// Time of work on the GPU, three ways: by the clock until the queue is empty, by the processor time
// of this process (what the work costs on an adapter that computes on the CPU, whatever else runs
// there), and by timestamps on the GPU, where the adapter has them.
// Programs are stamped from outside, by an empty pass before and behind each: nothing in the
// library knows that it is measured.

import type { DeviceBuffer, Tensor } from '../../runtime/compute/tensor.ts';
import type { Device } from '../../runtime/compute/device.ts';
import { WebGpuBackend } from '../../runtime/compute/webgpu/backend.ts';
import { median, rounded } from './harness.ts';
import { record } from '../../runtime/compute/program.ts';
import { benchShader } from '../shaders.ts';
import { isSoftware } from '../../runtime/compute/adapter.ts';

const QUERY_RESOLVE = 0x200; // GPUBufferUsage.QUERY_RESOLVE; npm webgpu does not define the global
const COPIES = 0x4 | 0x8; // COPY_SRC | COPY_DST
const MOST_PROGRAMS = 2048; // stamped in one go: 4096 queries are the most that a set may have

/**
 * Runs `run` with every program in it stamped; GPU milliseconds of all of them together, null where
 * there are no timestamps.
 */
export async function gpuTimed<T>(
  device: Device,
  run: () => Promise<T> | T,
): Promise<{ value: T; gpuMs: number | null }> {
  const { backend } = device;
  if (!(backend instanceof WebGpuBackend) || !device.capabilities.timestamps)
    return { value: await run(), gpuMs: null };
  const set = device.gpu.createQuerySet({ type: 'timestamp', count: 2 * MOST_PROGRAMS });
  const resolved = device.createBuffer(16 * MOST_PROGRAMS, QUERY_RESOLVE | COPIES, 'bench', 'timestamps');
  const make = backend.commands.bind(backend);
  let programs = 0;
  backend.commands = (label) => {
    const commands = make(label);
    const append = commands.run.bind(commands);
    commands.run = (...program) => {
      const query = programs < MOST_PROGRAMS ? 2 * programs++ : null;
      const stamp = (at: number): void =>
        commands.encoder.beginComputePass({ timestampWrites: { querySet: set, endOfPassWriteIndex: at } }).end();
      if (query !== null) stamp(query);
      const passes = append(...program);
      if (query !== null) stamp(query + 1);
      return passes;
    };
    return commands;
  };
  try {
    const value = await run();
    await device.settle();
    backend.commands = make;
    if (programs === 0) return { value, gpuMs: null };
    const commands = backend.commands('timestamps');
    commands.encoder.resolveQuerySet(set, 0, 2 * programs, resolved as GPUBuffer, 0);
    commands.submit();
    const stamps = new BigUint64Array(
      await device.read({ buffer: resolved, offset: 0, shape: [4 * programs], dtype: 'u32', label: 'timestamps' }),
    );
    let nanoseconds = 0n;
    for (let i = 0; i < programs; i++) nanoseconds += stamps[2 * i + 1]! - stamps[2 * i]!;
    // A clock that the driver does not keep gives zeros, or steps back.
    return { value, gpuMs: nanoseconds > 0n ? Number(nanoseconds) / 1e6 : null };
  } finally {
    backend.commands = make;
    set.destroy();
    device.destroyBuffer(resolved);
  }
}

/** Processor time of this process, all threads, in milliseconds. */
export function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** By the clock and in processor time, until all that `run` submits is done. */
export async function clocked(device: Device, run: () => void): Promise<{ ms: number; cpuMs: number }> {
  const [start, cpu] = [performance.now(), cpuMs()];
  run();
  await device.settle();
  return { ms: performance.now() - start, cpuMs: cpuMs() - cpu };
}

const WARM_MS = 300;

/**
 * Runs `run` for so long that a GPU is at its full clock. One that has been idle, while results
 * were checked on the host for example, runs at a fifth of it (345 of 1,980 MHz on an H200) and
 * takes some 100 ms to rise; without this its first figures were up to five times too long.
 */
export async function warmUp(device: Device, run: () => unknown): Promise<void> {
  if (isSoftware(device.info)) return;
  for (const start = performance.now(); performance.now() - start < WARM_MS;) {
    await run();
    await device.settle();
  }
}

export interface Timing {
  /** Medians of one run. */
  readonly ms: number;
  readonly cpuMs: number;
  readonly gpuMs: number | null;
  /** Measurements that the medians are of; each may be of several runs. */
  readonly runs: number;
}

export interface MeasureOptions {
  readonly repeats: number;
  /** No further repetition is begun after so long; one is always made. Default: 10 s. */
  readonly budgetMs?: number;
  /**
   * Runs of one measurement; default: as many as take 20 ms, so that submitting and waiting weigh
   * little.
   */
  readonly times?: number;
}

/** As many runs as take 20 ms. */
async function enoughRuns(device: Device, run: (times: number) => void): Promise<number> {
  const begin = performance.now();
  run(1);
  await device.settle();
  return Math.max(1, Math.min(10_000, Math.ceil(20 / Math.max(0.001, performance.now() - begin))));
}

/**
 * Times one run; `run` submits `times` of them and is given 1 once more where `times` is to be
 * found. What it computes must have been checked by then, and it must have been run before.
 */
export async function measure(device: Device, run: (times: number) => void, options: MeasureOptions): Promise<Timing> {
  const { repeats, budgetMs = 10_000 } = options;
  await device.settle();
  const times = options.times ?? (await enoughRuns(device, run));
  await warmUp(device, () => run(times));
  const begin = performance.now();
  const samples: Timing[] = [];
  do {
    const { value, gpuMs } = await gpuTimed(device, () => clocked(device, () => run(times)));
    samples.push({
      ms: value.ms / times,
      cpuMs: value.cpuMs / times,
      gpuMs: gpuMs === null ? null : gpuMs / times,
      runs: 1,
    });
  } while (samples.length < repeats && performance.now() - begin < budgetMs);
  return medianTiming(samples);
}

/** The medians of several measurements; of `gpuMs` over those that have it. */
export function medianTiming(times: readonly Timing[]): Timing {
  const gpu = times.flatMap(({ gpuMs }) => (gpuMs === null ? [] : [gpuMs]));
  return {
    ms: median(times.map((t) => t.ms)),
    cpuMs: median(times.map((t) => t.cpuMs)),
    gpuMs: gpu.length > 0 ? median(gpu) : null,
    runs: times.length,
  };
}

/**
 * The time that rates are made of: on an adapter that computes on the CPU the processor's, which
 * other work on the machine does not stretch (of all threads together, so such rates are those of
 * one core); elsewhere the GPU's own, or the clock's where there are no timestamps.
 */
export function basisMs(device: Device, time: Pick<Timing, 'ms' | 'cpuMs' | 'gpuMs'>): number {
  return isSoftware(device.info) ? time.cpuMs : (time.gpuMs ?? time.ms);
}

/**
 * Gigabytes a second of a copy, read and written bytes both counted: what the memory can do. From
 * buffer to buffer on a GPU; by a kernel with all threads on a processor, which copies buffers with
 * one. Of `basisMs`.
 */
export async function copyBandwidth(device: Device, { quick }: { quick: boolean }): Promise<number> {
  if (device.kind === 'wasm') return copyByKernel(device, quick ? 64 << 20 : 256 << 20);
  const size = Math.min(
    quick ? 64 << 20 : 512 << 20,
    device.limits.maxStorageBufferBindingSize,
    device.limits.maxBufferSize,
  );
  const [from, to] = [0, 1].map(() => device.createBuffer(size, COPIES | 0x80, 'bench', 'copy')) as [
    DeviceBuffer,
    DeviceBuffer,
  ];
  try {
    const copy = async (times: number): Promise<number> => {
      const commands = device.commands('copy');
      for (let i = 0; i < times; i++) commands.copy(from, 0, to, 0, size);
      await device.settle();
      return basisMs(device, { ...(await clocked(device, () => commands.submit())), gpuMs: null }) / times;
    };
    await copy(1); // touches the pages
    const times = Math.max(1, Math.min(64, Math.ceil(50 / (await copy(1)))));
    const ms: number[] = [];
    for (let i = 0; i < 5; i++) ms.push(await copy(times));
    return (2 * size) / median(ms) / 1e6;
  } finally {
    for (const buffer of [from, to]) device.destroyBuffer(buffer);
  }
}

async function copyByKernel(device: Device, bytes: number): Promise<number> {
  const owner = { name: 'bench copy' };
  const [x, y] = ['x', 'y'].map((name) => device.createTensor([bytes / 4], 'u32', owner, name)) as [Tensor, Tensor];
  const program = await record(
    device,
    (r) => r.dispatch(benchShader('copy'), { bind: { sizes: [bytes / 16, 0, 0, 0], x, y }, grid: [1] }),
    { label: 'copy' },
  );
  try {
    program.run(); // touches the pages
    const { ms } = await measure(device, (times) => program.run(times), { repeats: 5, budgetMs: 1000 });
    return (2 * bytes) / ms / 1e6;
  } finally {
    program.dispose();
    device.destroyOwned(owner);
  }
}

/**
 * What each result of these suites says about the kernels that ran; `tuned`: not those of the
 * defaults, but what `--tune` found.
 */
export const variantOf = (device: Device): string =>
  [
    device.kind === 'wasm' ? device.info.architecture : device.capabilities.subgroups ? 'subgroups' : 'portable',
    ...(Object.keys(device.tuning).length > 0 ? ['tuned'] : []),
  ].join(', ');

export const numbers = ({ ms, cpuMs: cpu, gpuMs, runs }: Timing): Record<string, number | null> => ({
  runs,
  ms: rounded(ms, 2),
  gpuMs: gpuMs === null ? null : rounded(gpuMs, 2),
  cpuMs: rounded(cpu, 2),
});

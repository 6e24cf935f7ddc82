// One measurement of the suite `load`, in its own process: reads the file, then loads the model,
// compares weights on the GPU with the file, and only then sends the times to its parent. Memory is
// counted by the operating system on Linux and sampled elsewhere.

import { spawnSync } from 'node:child_process';
import { closeSync, fstatSync, openSync, readdirSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BarkModel } from '../../bark/model.ts';
import type { CausalGpt } from '../../bark/gpt/gpt.ts';
import type { Checkpoint } from '../../runtime/formats/checkpoint.ts';
import { openCheckpoint } from '../../runtime/formats/open_checkpoint.ts';
import { float32ToFloat16 } from '../../runtime/base/half.ts';
import { cpuMs } from '../measure/gpu_time.ts';
import { machineOf, requestDevice, type Asked, type Machine } from '../measure/machine.ts';
import { readMatrix } from '../model/values.ts';
import { openModelSource } from '../../runtime/sources/open_source.ts';
import type { Tensor } from '../../runtime/compute/tensor.ts';
import type { ByteSource, ModelSource } from '../../runtime/files/model_source.ts';
import { isSoftware } from '../../runtime/compute/adapter.ts';

export interface LoadInput extends Asked {
  readonly folder: string;
  /** The weights' file in it. */
  readonly file: string;
  readonly dtype: 'float16' | 'float32';
  /** Drop the file from the system's cache before it is read, and again before it is loaded. */
  readonly cold: boolean;
  /** Folder for the driver's compiled shaders; default: the driver's own. */
  readonly driverCache?: string;
}

export interface LoadMeasurement {
  readonly machine: Machine;
  readonly software: boolean;
  /** Whether the file was really dropped from the cache. */
  readonly cold: boolean;
  /** Reading all of the file, 8 MiB at a time into one buffer. */
  readonly readMs: number;
  /**
   * From the call of `fromPretrained` until the last weight is on the GPU: opening, reading,
   * casting, and compiling the kernels for that.
   */
  readonly loadMs: number;
  /**
   * Processor time of all threads in `loadMs`, and in `readMs`: steadier where other work shares
   * the processor.
   */
  readonly loadCpuMs: number;
  readonly readCpuMs: number;
  /**
   * From then until `fromPretrained` returned: the kernels of generation, compiled meanwhile, run
   * once.
   */
  readonly warmUpMs: number;
  /** Whether the driver has put anything into `driverCache`. */
  readonly driverCached: boolean;
  /**
   * Peak of memory during `loadMs`, in bytes above what the process held before loading. On a
   * software adapter GPU buffers are part of it.
   */
  readonly processPeak: number;
  /**
   * The same without live GPU buffers on a software adapter. The driver's staging memory for
   * uploads is still in it.
   */
  readonly hostPeak: number;
  /** `hostPeak` until `fromPretrained` returned, with what compiling takes. */
  readonly hostPeakWithWarmUp: number;
  /**
   * Peak of anonymous memory, which the process allocates itself, until `fromPretrained` returned.
   * Mesa's lavapipe keeps GPU buffers in other memory.
   */
  readonly anonymousPeak: number;
  /** GPU buffers held once the weights are there. */
  readonly gpuBytes: number;
  readonly bytesRead: number;
  readonly reads: number;
  readonly largestRead: number;
  readonly uploadBytes: number;
  readonly dispatches: number;
  readonly submits: number;
  readonly checkedBytes: number;
}

const CHUNK = 8 << 20;

function readAll(path: string, buffer: Uint8Array): number {
  const start = performance.now();
  const file = openSync(path, 'r');
  const { size } = fstatSync(file);
  for (let at = 0; at < size;) {
    const n = readSync(file, buffer, 0, buffer.length, at);
    if (n === 0) throw new Error(`${path}: it ended at byte ${at} of ${size}.`);
    at += n;
  }
  closeSync(file);
  return performance.now() - start;
}

/** Drops a file from Linux's page cache; false on other systems, or if it fails. */
function forget(path: string): boolean {
  return process.platform === 'linux' && spawnSync('dd', [`if=${path}`, 'iflag=nocache', 'count=0']).status === 0;
}

/**
 * Bytes of memory held now, the anonymous part of them, and the peak since `resetPeak`. The last
 * two are 0 on systems other than Linux.
 */
function memory(): { now: number; anonymous: number; peak: number } {
  if (process.platform !== 'linux') return { now: process.memoryUsage.rss(), anonymous: 0, peak: 0 };
  const status = readFileSync('/proc/self/status', 'latin1');
  const field = (name: string): number => 1024 * Number(status.match(new RegExp(`${name}:\\s+(\\d+)`))?.[1] ?? 0);
  return { now: field('VmRSS'), anonymous: field('RssAnon'), peak: field('VmHWM') };
}

/** Resets the peak. Where that is not allowed, an earlier, higher peak is reported instead. */
function resetPeak(): void {
  try {
    if (process.platform === 'linux') writeFileSync('/proc/self/clear_refs', '5');
  } catch {} // a container may forbid it
}

/** The same folder, counting the reads of one of its files. */
function counted(
  source: ModelSource,
  file: string,
): { source: ModelSource; counts: { bytesRead: number; reads: number; largestRead: number } } {
  const counts = { bytesRead: 0, reads: 0, largestRead: 0 };
  const count = (size: number): void => {
    counts.reads++;
    counts.bytesRead += size;
    counts.largestRead = Math.max(counts.largestRead, size);
  };
  const watch = (bytes: ByteSource): ByteSource => ({
    ...bytes,
    read(start, end) {
      count(end - start);
      return bytes.read(start, end);
    },
    ...(bytes.readInto && {
      readInto(target: Uint8Array<ArrayBuffer>, start: number) {
        count(target.length);
        return bytes.readInto!(target, start);
      },
    }),
  });
  return {
    counts,
    source: {
      ...source,
      open: async (path, options) =>
        path === file ? watch(await source.open(path, options)) : source.open(path, options),
    },
  };
}

/**
 * Compares the matrices of the first and the last layer of both causal stages with the file.
 * Returns the number of bytes compared; throws if one differs or nothing could be compared.
 */
async function check(model: BarkModel, weights: Checkpoint): Promise<number> {
  let compared = 0;
  const same = async (t: Tensor, name: string): Promise<void> => {
    const stored = await weights.read(name);
    const floats = new Float32Array(stored.slice().buffer);
    const halves = float32ToFloat16(floats);
    const wanted = Buffer.from(
      (weights.info(name).dtype !== 'F32' ? stored : t.dtype === 'f16' ? halves : floats).buffer as ArrayBuffer,
    );
    if (weights.info(name).dtype === 'F32' || t.dtype === 'f16') {
      if (!wanted.equals(await readMatrix(model.device, t)))
        throw new Error(`${name}: what is on the GPU differs from the file.`);
      compared += stored.length;
    }
  };
  for (const stage of ['semantic', 'coarse_acoustics'] as const) {
    // `use` is not public in the models; it is reached here to read the weights back.
    const open = model[stage] as unknown as { use(run: (gpt: CausalGpt) => Promise<void>): Promise<void> };
    await open.use(async ({ blocks }) => {
      for (const n of new Set([0, blocks.length - 1])) {
        const block = blocks[n]!;
        await same(block.attnIn.weight, `${stage}.layers.${n}.attn.att_proj.weight`);
        await same(block.attnOut.weight, `${stage}.layers.${n}.attn.out_proj.weight`);
        await same(block.mlpIn.weight, `${stage}.layers.${n}.mlp.in_proj.weight`);
        await same(block.mlpOut.weight, `${stage}.layers.${n}.mlp.out_proj.weight`);
      }
    });
  }
  if (compared === 0)
    throw new Error(
      `${weights.label}: got weights of other types than float32 and float16, expected these. Timing needs a result that was checked.`,
    );
  return compared;
}

async function measure({ folder, file, dtype, cold, driverCache, ...asked }: LoadInput): Promise<LoadMeasurement> {
  const path = join(folder, file);
  // These variables move the cache of Mesa's drivers and of NVIDIA's on Linux. Other drivers have
  // no such variable, or no cache.
  if (driverCache) process.env['MESA_SHADER_CACHE_DIR'] = process.env['__GL_SHADER_DISK_CACHE_PATH'] = driverCache;
  const buffer = new Uint8Array(CHUNK);
  let forgotten = cold && forget(path);
  if (!cold) readAll(path, buffer); // then the measured read comes from the system's cache
  const readCpu = cpuMs();
  const readMs = readAll(path, buffer);
  const readCpuMs = cpuMs() - readCpu;
  forgotten &&= forget(path);

  const device = await requestDevice(asked);
  await device.settle();
  const before = { ...device.counters };
  const { source, counts } = counted(await openModelSource(folder), file);
  resetPeak();
  const { now: idle, anonymous: idleAnonymous } = memory();
  const peaks = { process: 0, host: 0, anonymous: 0 };
  const software = device.kind === 'wasm' || isSoftware(device.info);
  const sample = (): void => {
    const { now, anonymous, peak } = memory();
    peaks.anonymous = Math.max(peaks.anonymous, anonymous - idleAnonymous);
    peaks.process = Math.max(peaks.process, now - idle, peak - idle);
    peaks.host = Math.max(peaks.host, now - idle - (software ? device.memory().current : 0));
  };
  const sampler = setInterval(sample, 10);
  let uploaded:
    | Promise<{
        at: number;
        loadCpuMs: number;
        processPeak: number;
        hostPeak: number;
        gpuBytes: number;
        bytesRead: number;
        uploadBytes: number;
        dispatches: number;
        submits: number;
      }>
    | undefined;
  const startCpu = cpuMs();
  const start = performance.now();
  const model = await BarkModel.fromPretrained(source, {
    device,
    dtype,
    onProgress({ stage, done, total }) {
      if (stage !== 'load' || done < total) return;
      sample();
      const { uploadBytes, dispatches, submits } = device.counters;
      const counters = {
        processPeak: peaks.process,
        hostPeak: peaks.host,
        gpuBytes: device.memory().current,
        bytesRead: counts.bytesRead,
        uploadBytes: uploadBytes - before.uploadBytes,
        dispatches: dispatches - before.dispatches,
        submits: submits - before.submits,
      };
      uploaded = device.settle().then(() => ({ at: performance.now(), loadCpuMs: cpuMs() - startCpu, ...counters }));
    },
  });
  const end = performance.now();
  sample();
  clearInterval(sampler);
  if (!uploaded) throw new Error('fromPretrained: it never said that all weights are loaded.');
  const { at, ...counters } = await uploaded;
  const { reads, largestRead } = counts;
  const weights = await openCheckpoint(await openModelSource(folder));
  const checkedBytes = await check(model, weights);
  await weights.close();
  const driverCached = driverCache !== undefined && readdirSync(driverCache).length > 0;
  return {
    machine: machineOf(device),
    software,
    cold: forgotten,
    driverCached,
    readMs,
    readCpuMs,
    loadMs: at - start,
    warmUpMs: end - at,
    ...counters,
    hostPeakWithWarmUp: peaks.host,
    anonymousPeak: peaks.anonymous,
    reads,
    largestRead,
    checkedBytes,
  };
}

const result = await measure(JSON.parse(process.argv[2]!) as LoadInput);
process.send!(result, undefined, {}, () => process.exit(0));

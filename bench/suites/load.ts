// The suite `load`: time and memory that it takes to bring a model's weights to the GPU, compared
// with the time of only reading the file. Each measurement runs in its own process (load_child.ts),
// because the peak of memory is counted per process. README.md explains the fields.

import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inChild, layersOf, median, rounded, type BenchOptions, type Result, type Suite } from '../measure/harness.ts';
import { isModelName } from '../model/inventory.ts';
import { cachedCheckpoint, weightsFile, type Form } from '../model/make_checkpoint.ts';
import type { LoadInput, LoadMeasurement } from './load_child.ts';

const MIB = 2 ** 20;

/** The folders to load, and the weights' file of each. */
function* checkpoints(
  { model, dir, quick }: BenchOptions,
  note: (text: string) => void,
): Generator<{ folder: string; file: string }> {
  if (!isModelName(model)) {
    const file = ['model.safetensors', 'pytorch_model.bin'].find((name) => existsSync(join(model, name)));
    if (!file)
      throw new Error(
        `${model}: got no weights, expected model.safetensors or pytorch_model.bin. Is this the folder of a model?`,
      );
    yield { folder: model, file };
    return;
  }
  const forms: readonly Form[] = quick ? ['torch'] : ['torch', 'f32'];
  for (const form of forms) {
    note(`load: ${model}, ${weightsFile(form)}`);
    yield { folder: cachedCheckpoint(model, form, dir), file: weightsFile(form) };
  }
}

/**
 * Starts twice with an empty driver cache: the first start compiles everything, the second finds it
 * cached. Null if the driver has no cache on disk or ignores the folder given.
 */
async function startTwice(
  measure: (more: Partial<LoadInput>) => Promise<LoadMeasurement>,
): Promise<{ firstStartMs: number; secondStartMs: number } | null> {
  const driverCache = mkdtempSync(join(tmpdir(), 'bark-driver-cache-'));
  try {
    const [first, second] = [await measure({ driverCache }), await measure({ driverCache })];
    return second.driverCached
      ? { firstStartMs: rounded(startOf(first)), secondStartMs: rounded(startOf(second)) }
      : null;
  } finally {
    rmSync(driverCache, { recursive: true, force: true });
  }
}

const startOf = ({ loadMs, warmUpMs }: LoadMeasurement): number => loadMs + warmUpMs;

async function run(options: BenchOptions, emit: (result: Result) => void, note: (text: string) => void): Promise<void> {
  const { model, quick, cold, repeats, backend, threads } = options;
  for (const { folder, file } of checkpoints(options, note)) {
    for (const dtype of options.dtype ? [options.dtype] : (['float16', 'float32'] as const)) {
      const input: LoadInput = { folder, file, dtype, cold: false, backend, threads };
      const measure = (more: Partial<LoadInput> = {}): Promise<LoadMeasurement> =>
        inChild<LoadMeasurement>('bench/suites/load_child', { ...input, ...more });
      const warm: LoadMeasurement[] = [];
      for (let time = 0; time < repeats; time++) warm.push(await measure());
      const fromDisk: LoadMeasurement[] = [];
      for (let time = 0; cold && time < (quick ? 1 : repeats); time++) fromDisk.push(await measure({ cold: true }));
      const starts = cold ? await startTwice(measure) : null;
      const dropped = fromDisk.filter((run) => run.cold);
      const middle = (of: (run: LoadMeasurement) => number, runs = warm, decimals = 1): number | null =>
        runs.length > 0 ? rounded(median(runs.map(of)), decimals) : null;
      const most = (of: (run: LoadMeasurement) => number): number => rounded(Math.max(...warm.map(of)));
      const [first] = warm as [LoadMeasurement];
      emit({
        suite: 'load',
        model,
        layers: layersOf(folder),
        ...first.machine,
        dtype,
        variant: file,
        runs: warm.length,
        readRatio: middle((run) => run.loadMs / run.readMs, warm, 2),
        readMs: middle((run) => run.readMs),
        loadMs: middle((run) => run.loadMs),
        readCpuMs: middle((run) => run.readCpuMs),
        loadCpuMs: middle((run) => run.loadCpuMs),
        warmUpMs: middle((run) => run.warmUpMs),
        startMs: middle(startOf),
        firstStartMs: starts?.firstStartMs ?? null,
        secondStartMs: starts?.secondStartMs ?? null,
        coldReadRatio:
          dropped.length > 0
            ? rounded(median(dropped.map((run) => run.loadMs)) / median(dropped.map((run) => run.readMs)), 2)
            : null,
        coldReadMs: middle((run) => run.readMs, dropped),
        coldLoadMs: middle((run) => run.loadMs, dropped),
        hostPeakAboveIdleMB: most((run) => run.hostPeak / MIB),
        hostPeakWithWarmUpMB: most((run) => run.hostPeakWithWarmUp / MIB),
        anonymousPeakAboveIdleMB: first.anonymousPeak > 0 ? most((run) => run.anonymousPeak / MIB) : null,
        processPeakAboveIdleMB: most((run) => run.processPeak / MIB),
        softwareAdapter: first.software,
        gpuBytes: first.gpuBytes,
        fileBytes: statSync(join(folder, file)).size,
        bytesRead: first.bytesRead,
        reads: first.reads,
        largestRead: first.largestRead,
        uploadBytes: first.uploadBytes,
        dispatches: first.dispatches,
        submits: first.submits,
        checkedBytes: first.checkedBytes,
      });
    }
  }
}

export const load: Suite = {
  name: 'load',
  about: 'weights from the file to the GPU: time compared with only reading the file, and memory',
  columns: [
    'model',
    'dtype',
    'variant',
    'readRatio',
    'readMs',
    'loadMs',
    'warmUpMs',
    'firstStartMs',
    'secondStartMs',
    'coldReadRatio',
    'hostPeakAboveIdleMB',
    'processPeakAboveIdleMB',
    'gpuBytes',
    'bytesRead',
    'fileBytes',
  ],
  run,
};

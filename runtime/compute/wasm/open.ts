// Opens the processor as a device: what WebAssembly has here, how many threads, and its name.

import type { DeviceOptions } from '../adapter.ts';
import type { DeviceEvents, DeviceInfo } from '../backend.ts';
import { UnsupportedError } from '../../base/errors.ts';
import { host } from '../../host/platform.ts';
import { processorName, threadCount } from '../../host/threads.ts';
import { WasmBackend } from './backend.ts';
import { wasmFeatures } from './module.ts';
import { loadThreads } from './pool.ts';

/** `why`: why there is no GPU, where one was looked for. */
export async function openWasm({ threads: asked }: DeviceOptions, why?: string) {
  const features = await wasmFeatures();
  if (!features.simd)
    throw new UnsupportedError(
      `WebAssembly: got none with SIMD, expected it where there is no GPU. ${host === 'browser' ? 'Use a browser of 2023 or later.' : 'Update Node or Deno.'}${why ? ` (No GPU: ${why})` : ''}`,
    );
  const most = features.threads ? await threadCount(asked) : 1;
  const info: DeviceInfo = {
    vendor: 'cpu',
    architecture: `wasm${features.relaxedSimd ? ' relaxed' : ''} simd`,
    device: '',
    description: `${await processorName()}, ${most} ${most === 1 ? 'thread' : 'threads'}`,
  };
  const warnings: string[] =
    why === undefined ? [] : [`No GPU was found, so the processor computes: ${info.description}.`];
  if (!features.threads)
    warnings.push(
      'This page may use one thread only. Serve it with Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp for all of them.',
    );
  const start = await loadThreads();
  return {
    info,
    warnings,
    open: (events: DeviceEvents) => new WasmBackend(start, info, most, features.threads, events),
  };
}

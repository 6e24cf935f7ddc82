// Opens the processor as a device: what WebAssembly has here, how many threads, and its name.

import type { DeviceOptions } from '../adapter.ts';
import type { DeviceEvents } from '../backend.ts';
import { UnsupportedError } from '../../base/errors.ts';
import { host } from '../../host/platform.ts';
import { processorName, threadCount } from '../../host/threads.ts';
import { WasmBackend, type Processor } from './backend.ts';
import { wasmFeatures } from './module.ts';
import { loadThreads } from './pool.ts';

/**
 * The processor as `options` ask. Throws UnsupportedError where WebAssembly cannot do it; `why` is
 * why there is no GPU, where one was looked for.
 */
export async function describeProcessor({ threads: asked }: DeviceOptions, why?: string): Promise<Processor> {
  const { simd, relaxedSimd, threads: shared } = await wasmFeatures();
  if (!simd)
    throw new UnsupportedError(
      `WebAssembly: got none with SIMD, expected it where there is no GPU. ${host === 'browser' ? 'Use a browser of 2023 or later.' : 'Update Node or Deno.'}${why ? ` (No GPU: ${why})` : ''}`,
    );
  await loadThreads(); // a page's policy may forbid them
  const threads = shared ? await threadCount(asked) : 1;
  const features = { simd, 'relaxed-simd': relaxedSimd, threads: shared };
  return {
    info: {
      vendor: 'cpu',
      architecture: `wasm${relaxedSimd ? ' relaxed' : ''} simd`,
      device: '',
      description: `${await processorName()}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`,
    },
    features: new Set(Object.entries(features).flatMap(([name, there]) => (there ? [name] : []))),
    threads,
  };
}

/** `why`: as for `describeProcessor`. */
export async function openWasm(options: DeviceOptions, why?: string) {
  const processor = await describeProcessor(options, why);
  const { info, features } = processor;
  const warnings: string[] =
    why === undefined ? [] : [`No GPU was found, so the processor computes: ${info.description}.`];
  if (!features.has('threads'))
    warnings.push(
      'This page may use one thread only. Serve it with Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp for all of them.',
    );
  const start = await loadThreads();
  return { info, warnings, open: (events: DeviceEvents) => new WasmBackend(start, processor, events) };
}

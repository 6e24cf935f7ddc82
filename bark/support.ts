// Whether this machine can run the library, to be asked before anything is downloaded. Requests an
// adapter and no device, so it costs no memory of a GPU and starts no thread.

import { adapterName, chooseBackend, type DeviceOptions } from '../runtime/compute/adapter.ts';
import type { BackendKind } from '../runtime/compute/backend.ts';
import { describeProcessor } from '../runtime/compute/wasm/open.ts';

export interface Support {
  supported: boolean;
  /** Why not, in plain words with what to do; empty when supported. */
  reasons: string[];
  /** Name of the GPU, or of the processor with its threads; null where there is neither. */
  adapter: string | null;
  /** The adapter's WebGPU features, or what of WebAssembly there is; sorted. */
  features: string[];
  /** What would compute: a GPU, or the processor. */
  backend: BackendKind | null;
}

/** Never throws: what stands in the way is in `reasons`. */
export async function checkSupport(options: DeviceOptions = {}): Promise<Support> {
  try {
    const { kind, adapter, why } = await chooseBackend(options, 'checkSupport');
    const { info, features } = kind === 'webgpu' ? adapter : await describeProcessor(options, why);
    return {
      supported: true,
      reasons: [],
      adapter: adapterName(info),
      features: [...features].sort(),
      backend: kind,
    };
  } catch (error) {
    return {
      supported: false,
      reasons: [error instanceof Error ? error.message : String(error)],
      adapter: null,
      features: [],
      backend: null,
    };
  }
}

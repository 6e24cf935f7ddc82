// Whether this machine can run the library, to be asked before anything is downloaded. Requests an
// adapter and no device, so it costs no GPU memory.
import { adapterName, requestAdapter, type DeviceOptions } from '../runtime/compute/adapter.ts';

export interface Support {
  supported: boolean;
  /** Why not, in plain words with what to do; empty when supported. */
  reasons: string[];
  /** The adapter's name; null where there is none. */
  adapter: string | null;
  /** The adapter's WebGPU features, sorted. */
  features: string[];
}

/** Never throws: what stands in the way is in `reasons`. */
export async function checkSupport(options: DeviceOptions = {}): Promise<Support> {
  try {
    const adapter = await requestAdapter(options, 'checkSupport');
    return { supported: true, reasons: [], adapter: adapterName(adapter.info), features: [...adapter.features].sort() };
  } catch (error) {
    return {
      supported: false,
      reasons: [error instanceof Error ? error.message : String(error)],
      adapter: null,
      features: [],
    };
  }
}

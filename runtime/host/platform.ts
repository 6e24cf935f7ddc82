// The one place that knows whether this is Node, Deno or a browser: where WebGPU comes from, and
// the environment variables.

import { UnsupportedError } from '../base/errors.ts';

export type Host = 'node' | 'deno' | 'browser';

export const host: Host =
  'Deno' in globalThis ? 'deno' : typeof process === 'object' && process.versions?.node ? 'node' : 'browser';

/**
 * An environment variable; undefined in a browser, and in Deno without the permission to read it.
 */
export function env(name: string): string | undefined {
  try {
    return typeof process === 'object' ? process.env?.[name] : undefined;
  } catch {
    return undefined;
  }
}

// Dawn refuses f16 on NVIDIA's Vulkan driver and hides subgroup matrices unless asked. The same
// toggles do nothing elsewhere.
const DAWN_TOGGLES = ['allow_unsafe_apis', 'vulkan_enable_f16_on_nvidia'];

/**
 * The options that Dawn is made with. BARK_DAWN_TOGGLES adds toggles for measuring, for example
 * `disable_robustness,skip_validation`; one with a `-` before it is turned off.
 */
function dawnOptions(): string[] {
  const asked = (env('BARK_DAWN_TOGGLES') ?? '').split(',').filter((name) => name !== '');
  const off = asked.filter((name) => name.startsWith('-')).map((name) => name.slice(1));
  // Dawn rounds timestamps to 65.5 µs against timing attacks between pages; a trace wants them as
  // they are.
  if (env('BARK_TRACE')) off.push('timestamp_quantization');
  const on = [...DAWN_TOGGLES, ...asked.filter((name) => !name.startsWith('-'))];
  return [
    `enable-dawn-features=${on.join(',')}`,
    ...(off.length > 0 ? [`disable-dawn-features=${off.join(',')}`] : []),
  ];
}

let provider: Promise<GPU> | undefined;

/**
 * WebGPU of this host. In Node it is npm `webgpu` (Dawn); its object is kept, because devices die
 * with it.
 */
export function webgpu(): Promise<GPU> {
  provider ??= findWebgpu();
  return provider;
}

async function findWebgpu(): Promise<GPU> {
  if (typeof navigator === 'object' && navigator.gpu) return navigator.gpu;
  if (host === 'browser') {
    const why =
      globalThis.isSecureContext === false
        ? 'this page is not a secure context (use https or localhost)'
        : 'this browser has no WebGPU';
    throw new UnsupportedError(
      `WebGPU: got none, expected navigator.gpu: ${why}. Use a current Chrome, Edge, Safari 26 or Firefox.`,
    );
  }
  if (host === 'deno')
    throw new UnsupportedError(
      'WebGPU: Deno has no navigator.gpu here, expected Deno 2.x. Update Deno, or run with --unstable-webgpu on old versions.',
    );
  try {
    const name = 'webgpu'; // a variable, so that bundlers for the browser leave it alone
    const { create } = (await import(name)) as typeof import('webgpu');
    return create(dawnOptions());
  } catch (cause) {
    throw new UnsupportedError(
      `WebGPU: npm package 'webgpu' could not be loaded (${(cause as Error).message.split('\n')[0]}). ` +
        `It has binaries for Linux x64/arm64 (glibc 2.34 or newer), macOS and Windows; run 'npm install webgpu', or use Deno or a browser.`,
      { cause },
    );
  }
}

/** What to do when there is no adapter, for this host. */
export function noAdapterAdvice(): string {
  if (host === 'browser') return 'Turn on hardware acceleration in the browser, or see chrome://gpu.';
  if (typeof process === 'object' && process.platform === 'linux') {
    return "Install a Vulkan driver: your GPU vendor's, or the software one with 'apt-get install mesa-vulkan-drivers libvulkan1' (Mesa 25 or newer; on Debian 12 from bookworm-backports). In a container, pass the GPU through.";
  }
  return 'Update the graphics driver.';
}

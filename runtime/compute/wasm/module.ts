// What of WebAssembly this host has, and modules of kernels in the form that suits it.

import { UnsupportedError } from '../../base/errors.ts';
import { host } from '../../host/platform.ts';

/** Kernels compiled to WebAssembly; `bytes` gives the build with or without relaxed SIMD. */
export interface KernelModule {
  readonly name: string;
  bytes(relaxed: boolean): Promise<Uint8Array<ArrayBuffer>>;
}

/** A shader's form for processors. */
export interface ProcessorKernel {
  readonly module: KernelModule;
  /** Parameters of the function of the shader's name: bindings, overrides, and OWN of messages.ts. */
  readonly parameters: readonly string[];
}

export interface WasmFeatures {
  readonly simd: boolean;
  /** Multiply-add in one instruction: twice the speed of products. */
  readonly relaxedSimd: boolean;
  /** Memory that threads share; pages have it only where they are cross-origin isolated. */
  readonly threads: boolean;
}

// Functions () → v128: i32.const 0, i32x4.splat, and for relaxed SIMD three of them multiplied and
// added.
const header = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0];
const SIMD = Uint8Array.of(...header, 10, 8, 1, 6, 0, 65, 0, 253, 17, 11);
const ZERO = [65, 0, 253, 17];
const RELAXED = Uint8Array.of(...header, 10, 19, 1, 17, 0, ...ZERO, ...ZERO, ...ZERO, 253, 133, 2, 11);

let found: WasmFeatures | undefined;

export async function wasmFeatures(): Promise<WasmFeatures> {
  if (found) return found;
  if (typeof WebAssembly !== 'object') return (found = { simd: false, relaxedSimd: false, threads: false });
  let relaxedSimd = WebAssembly.validate(RELAXED);
  if (!relaxedSimd && host === 'node') {
    // Node 20's V8 has it behind a flag, which may be set before the first module is compiled.
    const v8 = await import('node:v8');
    v8.setFlagsFromString('--experimental-wasm-relaxed-simd');
    relaxedSimd = WebAssembly.validate(RELAXED);
  }
  const isolated =
    (globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated !== false || host !== 'browser';
  const threads = typeof SharedArrayBuffer === 'function' && isolated;
  return (found = { simd: WebAssembly.validate(SIMD), relaxedSimd, threads });
}

const compiled = new WeakMap<KernelModule, Map<boolean, Promise<WebAssembly.Module>>>();

/** Compiles a module once for all devices. `shared`: for memory that threads share. */
export function compileModule(module: KernelModule, shared: boolean): Promise<WebAssembly.Module> {
  let forms = compiled.get(module);
  if (!forms) compiled.set(module, (forms = new Map<boolean, Promise<WebAssembly.Module>>()));
  let form = forms.get(shared);
  if (!form) forms.set(shared, (form = compileForm(module, shared)));
  return form;
}

async function compileForm(module: KernelModule, shared: boolean): Promise<WebAssembly.Module> {
  const bytes = await module.bytes((await wasmFeatures()).relaxedSimd);
  try {
    return await WebAssembly.compile(shared ? bytes : unshared(bytes));
  } catch (cause) {
    throw new UnsupportedError(
      `WebAssembly: the module '${module.name}' does not compile here: ${(cause as Error).message}. Update the browser or Node.`,
      { cause },
    );
  }
}

/**
 * A copy of a module whose imported memory need not be shared. In WebAssembly's binary form that is
 * one byte, the limits of the memory in the import section: 3 says shared, 1 not. All other
 * instructions work on either memory.
 */
function unshared(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const copy = bytes.slice();
  const name = [...'env', '\x06', ...'memory'].map((c) => c.charCodeAt(0));
  const at = copy.findIndex((_, i) => name.every((byte, j) => copy[i + j] === byte));
  const limits = at + name.length + 1; // after the kind of the import: 2, a memory
  if (at < 0 || copy[limits - 1] !== 2 || copy[limits] !== 3)
    throw new UnsupportedError('WebAssembly: a module of kernels must import env.memory, shared.');
  copy[limits] = 1;
  return copy;
}

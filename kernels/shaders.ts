// The shaders of this floor by name, typed. `wgsl.gen.ts` is made by `npm run wgsl`.

import type { Shader } from '../runtime/compute/shader.ts';
import type { KernelModule } from '../runtime/compute/wasm/module.ts';
import { parameters, plain, relaxed } from './wasm.gen.ts';
import { shaders as generated } from './wgsl.gen.ts';

/**
 * A shader as the build writes it: the files that it is made of, with half their indentation, each
 * of which is shared with the shaders that include it too, and which lines of them follow each
 * other.
 */
type WrittenShader = Omit<Shader, 'code'> & { readonly sources: Readonly<Record<string, string>> };

/** All kernels for processors, in one WebAssembly module. */
const PROCESSOR_KERNELS: KernelModule = {
  name: 'kernels',
  bytes: (relaxedSimd) => inflated(relaxedSimd ? relaxed : plain),
};

/**
 * Bytes that were deflated and written in base64.
 * @public The package's bundle of the bench uses it too (bark/build.ts).
 */
export async function inflated(text: string): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate-raw'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const written = generated as Record<string, WrittenShader>;
const assembled = new Map<string, Shader>();

/**
 * `shader('linear_decode')` is the file linear_decode.wgsl, in whichever folder of this floor it
 * lies.
 */
export function shader(name: string): Shader {
  let found = assembled.get(name);
  if (!found) {
    const source = written[name];
    if (!source) throw new Error(`There is no shader '${name}' in kernels/wgsl.gen.ts. Run 'npm run wgsl'.`);
    const { bindings, runs } = source;
    const processor = parameters[name] && { module: PROCESSOR_KERNELS, parameters: parameters[name] };
    assembled.set(name, (found = { name, code: codeOf(source), bindings, runs, processor }));
  }
  return found;
}

/** Each run of lines ends where the next one begins, and the last one with its file. */
function codeOf({ runs, sources }: WrittenShader): string {
  return runs
    .flatMap(({ at, file, line }, i) => {
      const next = runs[i + 1];
      return sources[file]!.split('\n').slice(line - 1, next && line - 1 + next.at - at);
    })
    .join('\n')
    .replace(/^ +/gm, '$&$&');
}

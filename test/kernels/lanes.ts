// Functions of four lanes of AssemblyScript, called from a test: a file of loops over them is
// compiled by itself, as the kernels are, with relaxed SIMD and without.

import { fileURLToPath } from 'node:url';
import { compileProcessor } from '../../kernels/build_processor.ts';
import { wasmFeatures } from '../../runtime/compute/wasm/module.ts';

export interface Lanes {
  /** 'relaxed' or 'plain'. */
  readonly build: string;
  /** What function `name` of the file makes of each value: (x, y, count), count a multiple of 4. */
  run(name: string, values: Float32Array): Float32Array;
}

/** Both builds of a file beside the test, or the plain one where there is no relaxed SIMD. */
export async function lanesOf(file: string, test: string): Promise<Lanes[]> {
  const builds = (await wasmFeatures()).relaxedSimd ? [true, false] : [false];
  return await Promise.all(
    builds.map(async (relaxed) => {
      const path = fileURLToPath(new URL(file, test));
      const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true });
      const module = await WebAssembly.compile((await compileProcessor([path], relaxed)) as Uint8Array<ArrayBuffer>);
      const { exports } = await WebAssembly.instantiate(module, { env: { memory } });
      const run = (name: string, values: Float32Array): Float32Array => {
        const count = (values.length + 3) & ~3;
        const pages = Math.ceil((8 * count + 1024) / 65536) - memory.buffer.byteLength / 65536;
        if (pages > 0) memory.grow(pages);
        new Float32Array(memory.buffer, 1024).set(values);
        (exports[name] as (x: number, y: number, count: number) => void)(1024, 1024 + 4 * count, count);
        return Float32Array.from(new Float32Array(memory.buffer, 1024 + 4 * count, values.length));
      };
      return { build: relaxed ? 'relaxed' : 'plain', run };
    }),
  );
}

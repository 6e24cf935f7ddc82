// Shaders that only the bench needs (bench/shaders/*.wgsl), and their forms for processors (*.as.ts),
// built where they are used; in the package they are part of its bundle (bark/build.ts). They are
// checked when they are compiled, by the tests of the suite `device`.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { shaderOf, signatures } from '../kernels/expand.ts';
import type { Shader } from '../runtime/compute/shader.ts';
import type { KernelModule } from '../runtime/compute/wasm/module.ts';

const FOLDER = join(import.meta.dirname, 'shaders');

/** All forms for processors. The compiler is loaded only where one is run. */
const MODULE: KernelModule = {
  name: 'bench',
  async bytes(relaxed) {
    const { compileProcessor } = await import('../kernels/build_processor.ts');
    const files = readdirSync(FOLDER).filter((file) => file.endsWith('.as.ts'));
    return Uint8Array.from(
      await compileProcessor(
        files.map((file) => join(FOLDER, file)),
        relaxed,
      ),
    );
  },
};

const made = new Map<string, Shader>();

/** `benchShader('next')` is bench/shaders/next.wgsl, and on processors next.as.ts if there is one. */
export function benchShader(name: string): Shader {
  let shader = made.get(name);
  if (!shader) {
    const read = (file: string): string => readFileSync(join(FOLDER, file), 'utf8');
    const form = `${name}.as.ts`;
    const parameters = existsSync(join(FOLDER, form)) ? signatures(read(form)).get(name) : undefined;
    const written = shaderOf(`bench ${name}`, `../bench/shaders/${name}.wgsl`, read(`${name}.wgsl`));
    // A processor calls the function of the shader's name.
    shader = parameters ? { ...written, name, processor: { module: MODULE, parameters } } : written;
    made.set(name, shader);
  }
  return shader;
}

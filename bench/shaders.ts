// Shaders that only the bench needs (bench/shaders/*.wgsl), read where they are used; in the
// package they are part of its bundle (bark/build.ts). They are checked when they are compiled, by
// the tests of the suite `device`.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { shaderOf } from '../kernels/expand.ts';
import type { Shader } from '../runtime/compute/shader.ts';

const made = new Map<string, Shader>();

/** `benchShader('next')` is bench/shaders/next.wgsl. */
export function benchShader(name: string): Shader {
  let shader = made.get(name);
  if (!shader) {
    const code = readFileSync(join(import.meta.dirname, 'shaders', `${name}.wgsl`), 'utf8');
    made.set(name, (shader = shaderOf(`bench ${name}`, `../bench/shaders/${name}.wgsl`, code)));
  }
  return shader;
}

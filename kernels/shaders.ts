// The shaders of this floor by name, typed. `wgsl.gen.ts` is made by `npm run wgsl`.

import type { Shader } from '../runtime/compute/shader.ts';
import { shaders as generated } from './wgsl.gen.ts';

const all = generated as Record<string, Shader>;

/**
 * `shader('linear_decode')` is the file linear_decode.wgsl, in whichever folder of this floor it
 * lies.
 */
export function shader(name: string): Shader {
  const found = all[name];
  if (!found) throw new Error(`There is no shader '${name}' in kernels/wgsl.gen.ts. Run 'npm run wgsl'.`);
  return found;
}

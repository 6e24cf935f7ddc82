// A kernel that traps, for tests of what happens then.

import type { Shader } from '../../../../runtime/compute/shader.ts';

/** (module (import "env" "memory" (memory 1 65536 shared)) (func (export "trap") unreachable)) */
const TRAP = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0],
  ...[2, 18, 1, 3, 101, 110, 118, 6, 109, 101, 109, 111, 114, 121, 2, 3, 1, 128, 128, 4],
  ...[3, 2, 1, 0, 7, 8, 1, 4, 116, 114, 97, 112, 0, 0, 10, 5, 1, 3, 0, 0, 11],
);

export const trap: Shader = {
  name: 'trap',
  code: '',
  bindings: [],
  runs: [],
  processor: { module: { name: 'traps', bytes: async () => TRAP }, parameters: [] },
};

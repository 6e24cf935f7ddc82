// A kernel of the tests' own, y += by · x + add, so that tests of the runtime need none of
// kernels/.

import type { Recorder } from '../../../runtime/compute/program.ts';
import type { Shader } from '../../../runtime/compute/shader.ts';
import type { Tensor } from '../../../runtime/compute/tensor.ts';

export const AXPY: Shader = {
  name: 'test axpy',
  code: `
    struct Params { by: f32, add: u32 }
    override SIGN: f32 = 1.0;
    @group(0) @binding(0) var<uniform> params: Params;
    @group(0) @binding(1) var<storage, read> x: array<f32>;
    @group(0) @binding(2) var<storage, read_write> y: array<f32>;
    @compute @workgroup_size(64)
    fn main(@builtin(global_invocation_id) id: vec3<u32>) {
      if (id.x < arrayLength(&y)) { y[id.x] += SIGN * params.by * x[id.x] + f32(params.add); }
    }`,
  bindings: [
    { name: 'params', kind: 'uniform' },
    { name: 'x', kind: 'read-only-storage' },
    { name: 'y', kind: 'storage' },
  ],
  runs: [{ at: 1, file: 'test axpy', line: 1 }],
};

/** y += sign · by · x + add. */
export function axpy(
  r: Recorder,
  y: Tensor,
  x: Tensor,
  by: number,
  { add = 0, sign = 1, shader = AXPY }: { add?: number; sign?: number; shader?: Shader } = {},
): void {
  r.dispatch(shader, { overrides: { SIGN: sign }, bind: { params: [{ f32: by }, add], x, y }, grid: [1] });
}

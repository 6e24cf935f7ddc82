// Counts the bytes that a recorded decode step moves, from the tensors and grids that its
// dispatches bind. A matrix counts once for each pass over it: a batch that is processed in two
// tiles reads it twice, and both count even if a cache saves the second. Uniforms (a few hundred
// bytes a dispatch)
// are not counted. A kernel that is not listed here is an error, so that no count is silently
// wrong.

import { Recorder, type Dispatch } from '../../runtime/compute/program.ts';
import { byteSize, bytesPerElement, padTo8, type Tensor } from '../../runtime/compute/tensor.ts';

export interface Recorded extends Dispatch {
  readonly shader: string;
}

/** Runs `run` and returns its result and, for each program recorded meanwhile, its dispatches. */
export async function watched<T>(run: () => Promise<T>): Promise<{ value: T; programs: Recorded[][] }> {
  const dispatch = Recorder.prototype.dispatch;
  const programs = new Map<Recorder, Recorded[]>();
  Recorder.prototype.dispatch = function (shader, options) {
    const list = programs.get(this) ?? [];
    programs.set(this, list);
    list.push({ ...options, shader: shader.name });
    dispatch.call(this, shader, options);
  };
  try {
    return { value: await run(), programs: [...programs.values()] };
  } finally {
    Recorder.prototype.dispatch = dispatch;
  }
}

export interface Traffic {
  /** Bytes read and written by one step of the whole batch. */
  readonly bytes: number;
  /**
   * The least that a step can move: each weight it uses once, the cache once, the new keys and
   * values.
   */
  readonly needed: number;
  /** Of `bytes`, those of weights. */
  readonly weights: number;
  readonly cache: number;
}

/**
 * Traffic of one step of `batch` sentences that each see `context` positions, the new one included.
 */
export function stepTraffic(step: readonly Recorded[], batch: number, context: number): Traffic {
  const used = new Map<string, number>(); // distinct weights → bytes that are used
  let [weights, cache, activations, cacheNeeded] = [0, 0, 0, 0];
  const use = (t: Tensor, bytes: number, walks = 1): void => {
    weights += bytes * walks;
    const key = `${t.label} ${t.offset}`;
    used.set(key, Math.max(used.get(key) ?? 0, bytes));
  };
  for (const { shader, bind, grid } of step) {
    const tensor = (name: string): Tensor => {
      const t = bind[name];
      if (!t || !('buffer' in t))
        throw new Error(
          `${shader}: got no tensor ${name}, expected one. Tell bench/measure/traffic.ts how this kernel works.`,
        );
      return t;
    };
    const words = (name: string): readonly number[] => (bind[name] as readonly number[]) ?? [];
    const whole = (name: string): number => byteSize(tensor(name).shape, tensor(name).dtype);
    const kernel = shader.replace(/_subgroup$/, '');
    if (kernel === 'embedding_decode') {
      const { shape, dtype } = tensor('w');
      use(tensor('w'), batch * padTo8(shape[1]!) * bytesPerElement(dtype));
      use(tensor('positions'), 4 * batch * shape[1]!);
      activations += whole('x');
    } else if (kernel === 'linear_decode' || kernel === 'qkv_decode') {
      const [k, n, count] = words('sizes') as [number, number, number];
      const norm = tensor('gain') !== tensor('x');
      const walks = grid[1] ?? 1;
      const rows = kernel === 'qkv_decode' ? n : count;
      use(tensor('w'), rows * padTo8(k) * bytesPerElement(tensor('w').dtype), walks);
      if (norm) use(tensor('gain'), 4 * k, walks);
      // a folded LayerNorm's own cost
      if (tensor('terms') !== tensor('x')) activations += 4 * rows * (norm ? 2 : 1) * walks;
      activations += whole('x');
      if (kernel === 'qkv_decode') {
        const row = 2 * k * bytesPerElement(tensor('keys').dtype) * batch; // keys and values of one position
        cache += row;
        cacheNeeded += row;
        activations += whole('q');
      } else activations += whole('y') * (words('sizes')[7] === 1 ? 2 : 1); // a residual is read as well
    } else if (kernel === 'attention_decode') {
      const [heads, headDim] = words('cache') as [number, number];
      const seen = 2 * batch * context * heads * headDim * bytesPerElement(tensor('keys').dtype);
      cache += seen;
      cacheNeeded += seen;
      activations += whole('q') + whole('y');
    } else if (kernel === 'sample') activations += whole('logits') + 4 * batch;
    else
      throw new Error(
        `${shader}: got a kernel whose traffic is not known. Tell bench/measure/traffic.ts how it works.`,
      );
  }
  const needed = [...used.values()].reduce((a, b) => a + b, 0) + cacheNeeded;
  return { bytes: weights + cache + activations, needed, weights, cache };
}

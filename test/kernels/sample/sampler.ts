// Runs the sampling kernel on given logits and rows of state.

import type { Words } from '../../../kernels/sample/random.ts';
import { sample, SAMPLING_WORDS, samplingParams, type Sampling } from '../../../kernels/sample/sample.ts';
import { USAGE } from '../../../runtime/compute/backend.ts';
import { record } from '../../../runtime/compute/program.ts';
import type { Tensor } from '../../../runtime/compute/tensor.ts';
import { testDevice } from '../../device.ts';

interface Row {
  token: number;
  position: number;
  step: number;
  done: number;
  seed: Words;
  limit: number;
  base: number;
}

export const ROW: Row = { token: 77, position: 5, step: 0, done: 0, seed: [1, 2], limit: 1e9, base: 0 };

export const EMPTY = 0xffffffff;

/** A program that draws for `batch` rows of `count` logits, with its tensors. */
export async function sampler(batch: number, count: number, pitch: number) {
  const device = await testDevice();
  const tensor = (shape: number[], dtype: 'f32' | 'u32', usage: number): Tensor => {
    const bytes = 4 * shape.reduce((a, b) => a * b);
    return {
      buffer: device.createBuffer(bytes, USAGE.STORAGE | USAGE.COPY_DST | USAGE.COPY_SRC | usage, 'test'),
      offset: 0,
      shape,
      dtype,
      label: 'test',
    };
  };
  const logits = tensor([batch, count], 'f32', 0);
  const tokens = tensor([batch, pitch], 'u32', 0);
  const state = tensor([batch, 8], 'u32', USAGE.UNIFORM);
  const sampling = tensor([SAMPLING_WORDS], 'u32', USAGE.UNIFORM);
  const program = await record(device, (r) => sample(r, tokens, logits, state, sampling), { label: 'sample' });
  return {
    /** Tokens and state after `times` steps; logits are those of one row for all, or of each. */
    async run(
      settings: Sampling,
      values: Float32Array,
      rows: Row[],
      times = 1,
    ): Promise<{ tokens: Uint32Array[]; rows: Row[] }> {
      const all = new Float32Array(batch * count);
      for (let b = 0; b < batch; b++)
        all.set(values.length === all.length ? values.subarray(b * count, (b + 1) * count) : values, b * count);
      device.write(logits, all);
      device.write(tokens, new Uint32Array(batch * pitch).fill(EMPTY));
      device.write(
        state,
        Uint32Array.from(rows.flatMap((r) => [r.token, r.position, r.step, r.done, ...r.seed, r.limit, r.base])),
      );
      device.write(sampling, samplingParams(settings));
      program.run(times);
      const drawn = new Uint32Array(await device.read(tokens));
      const s = new Uint32Array(await device.read(state));
      return {
        tokens: Array.from({ length: batch }, (_, b) => drawn.slice(b * pitch, (b + 1) * pitch)),
        rows: Array.from({ length: batch }, (_, b) => {
          const [token, position, step, done, s0, s1, limit, base] = s.subarray(8 * b, 8 * b + 8) as unknown as [
            number,
            number,
            number,
            number,
            number,
            number,
            number,
            number,
          ];
          return { token, position, step, done, seed: [s0, s1] as Words, limit, base };
        }),
      };
    },
    free(): void {
      program.dispose();
      for (const t of [logits, tokens, state, sampling]) device.destroyBuffer(t.buffer);
    },
  };
}

export const plain = (count: number, settings: Partial<Sampling> = {}): Sampling => {
  const window = { first: 0, count };
  return { temperature: 1, topK: null, topP: null, minEosP: null, even: window, odd: window, eos: null, ...settings };
};

export const rowsOf = (n: number, change: Partial<Row> = {}): Row[] =>
  Array.from({ length: n }, (_, b) => ({ ...ROW, seed: [1000 + b, 7 * b] as Words, ...change }));

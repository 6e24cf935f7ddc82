// Cases of `linear` and `qkv`: products of one row (decode) and of many (prefill, fine model).

import { gelu } from '../../kernels/linear/reference.ts';
import { linear, linearDecode } from '../../kernels/linear/linear.ts';
import { qkv, qkvDecode } from '../../kernels/qkv/qkv.ts';
import { dot, places, type MakeCase } from './case.ts';
import { bytesOf, normed, W, X, Y, type GptInputs } from './inputs.ts';

/**
 * y (m, n) = x (m, k) · W (n, k)ᵀ. One row is a decode step, with the LayerNorm folded in if
 * `norm`; many rows are normalised before.
 */
export const product =
  (
    inputs: GptInputs,
    op: string,
    m: number,
    n: number,
    k: number,
    { norm = false, gelu: act = false, residual = false } = {},
  ): MakeCase =>
  async (owner) => {
    const layer = await inputs.layer(owner, n, k, norm && m === 1);
    const x = inputs.floats(X, [m, k], owner, 'x');
    const y = inputs.floats(Y, [m, n], owner, 'y'); // added to only with `residual`, overwritten otherwise
    const [state, call] = [inputs.state(owner, 0), inputs.call(owner, m)];
    return {
      op,
      shape: `(${m}, ${k}) · (${n}, ${k})ᵀ`,
      dtype: inputs.dtype,
      bytes: bytesOf(layer.weight, x, y) + (residual ? bytesOf(y) : 0),
      flops: 2 * m * n * k,
      output: y,
      record: (r) =>
        m === 1
          ? linearDecode(r, y, x, layer, state, { gelu: act, residual })
          : linear(r, y, x, layer, call, { gelu: act, residual }),
      expected: () =>
        places(m * n).map((at) => {
          const [row, column] = [Math.floor(at / n), at % n];
          const input = norm && m === 1 ? normed(row, k) : (i: number) => X.at(row * k + i);
          const { value, size } = dot(k, input, (i) => W(k).at(column * k + i));
          return { at, value: (act ? gelu(value) : value) + (residual ? Y.at(at) : 0), size };
        }),
    };
  };

/**
 * The fused projection to queries, keys and values. Only the queries are checked; keys and values
 * come from the same product.
 */
export const projection =
  (inputs: GptInputs, m: number): MakeCase =>
  async (owner) => {
    const H = inputs.shape.hidden;
    const layer = await inputs.layer(owner, 3 * H, H, m === 1);
    const x = inputs.floats(X, [m, H], owner, 'x');
    const q = inputs.output([m, H], owner, 'q');
    const cache = inputs.cache(owner);
    const [state, call] = [inputs.state(owner, 500), inputs.call(owner, m)];
    return {
      op: m === 1 ? 'qkv_decode' : 'qkv',
      shape: `(${m}, ${H}) · (${3 * H}, ${H})ᵀ`,
      dtype: inputs.dtype,
      bytes: bytesOf(layer.weight, x, q) + 2 * m * H * inputs.width,
      flops: 6 * m * H * H,
      output: q,
      record: (r) => (m === 1 ? qkvDecode(r, q, cache, x, layer, state) : qkv(r, q, cache, x, layer, call)),
      expected: () =>
        places(m * H).map((at) => {
          const row = Math.floor(at / H);
          return {
            at,
            ...dot(H, m === 1 ? normed(row, H) : (i) => X.at(row * H + i), (i) => W(H).at((at % H) * H + i)),
          };
        }),
    };
  };

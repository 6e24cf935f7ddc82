// Cases of attention: one query a sentence (decode), and many (prefill, fine model).

import { attention, attentionDecode } from '../../kernels/attention/attention.ts';
import { dot, places, type MakeCase } from './case.ts';
import { bytesOf, CAPACITY, K, V, X, type GptInputs } from './inputs.ts';

/** softmax(q · Kᵀ / √D) · V in f64: one channel of one query that sees `seen` positions. */
function attended(
  { shape: { hidden: H }, headDim: D }: GptInputs,
  query: number,
  channel: number,
  seen: number,
): { value: number; size: number } {
  const head = Math.floor(channel / D);
  const at = head * CAPACITY * D;
  const scores = Array.from(
    { length: seen },
    (_, t) =>
      dot(
        D,
        (i) => X.at(query * H + head * D + i),
        (i) => K.at(at + t * D + i),
      ).value / Math.sqrt(D),
  );
  const top = Math.max(...scores);
  const weights = scores.map((s) => Math.exp(s - top));
  const total = weights.reduce((a, b) => a + b, 0);
  const { value, size } = dot(
    seen,
    (t) => weights[t]! / total,
    (t) => V.at(at + t * D + (channel % D)),
  );
  return { value, size: 4 * size }; // an error of a score is a relative error of its weight
}

export const oneQuery =
  (inputs: GptInputs, context: number): MakeCase =>
  async (owner) => {
    const { hidden: H, heads } = inputs.shape;
    const [q, y] = [inputs.floats(X, [1, H], owner, 'q'), inputs.output([1, H], owner, 'y')];
    const [cache, state] = [inputs.cache(owner), inputs.state(owner, context - 1)];
    return {
      op: 'attention_decode',
      shape: `1 query, ${context} positions, ${heads} × ${inputs.headDim}`,
      dtype: inputs.dtype,
      bytes: 2 * context * H * inputs.width + bytesOf(q, y),
      flops: 4 * context * H,
      output: y,
      record: (r) => attentionDecode(r, y, q, cache, state),
      expected: () => places(H).map((at) => ({ at, ...attended(inputs, 0, at, context) })),
    };
  };

export const manyQueries =
  (inputs: GptInputs, m: number, causal: boolean): MakeCase =>
  async (owner) => {
    const { hidden: H, heads } = inputs.shape;
    const [q, y] = [inputs.floats(X, [m, H], owner, 'q'), inputs.output([m, H], owner, 'y')];
    const [cache, call] = [inputs.cache(owner), inputs.call(owner, m)];
    return {
      op: causal ? 'attention causal' : 'attention',
      shape: `${m} queries, ${heads} × ${inputs.headDim}`,
      dtype: inputs.dtype,
      bytes: 2 * m * H * inputs.width + bytesOf(q, y),
      flops: causal ? 2 * m * (m + 1) * H : 4 * m * m * H,
      output: y,
      record: (r) => attention(r, y, q, cache, call, { causal }),
      expected: () =>
        places(m * H).map((at) => ({
          at,
          ...attended(inputs, Math.floor(at / H), at % H, causal ? Math.floor(at / H) + 1 : m),
        })),
    };
  };

// Cases of `embedding` and `layer_norm`.

import { embedding, embeddingDecode } from '../../kernels/embedding/embedding.ts';
import { layerNorm } from '../../kernels/layer_norm/layer_norm.ts';
import { filled } from '../model/values.ts';
import { places, type MakeCase } from './case.ts';
import { bytesOf, CAPACITY, G, K, normed, V, X, type GptInputs } from './inputs.ts';

export const norm =
  (inputs: GptInputs, m: number): MakeCase =>
  async (owner) => {
    const H = inputs.shape.hidden;
    const [x, y, gain] = [
      inputs.floats(X, [m, H], owner, 'x'),
      inputs.output([m, H], owner, 'y'),
      inputs.floats(G, [H], owner, 'gain'),
    ];
    const call = inputs.call(owner, m);
    return {
      op: 'layer_norm',
      shape: `(${m}, ${H})`,
      dtype: 'float32',
      bytes: bytesOf(x, y, gain),
      flops: 8 * m * H,
      output: y,
      record: (r) => layerNorm(r, y, x, { weight: gain, bias: null }, call),
      expected: () => places(m * H).map((at) => ({ at, value: normed(Math.floor(at / H), H)(at % H), size: 4 })),
    };
  };

export const embed =
  (inputs: GptInputs, m: number): MakeCase =>
  async (owner) => {
    const { device, stored } = inputs;
    const { hidden: H, semanticHead } = inputs.shape;
    const table = filled(device, K, [semanticHead, H], stored, owner, 'table');
    const positions = filled(device, V, [CAPACITY, H], 'f32', owner, 'positions');
    const x = inputs.output([m, H], owner, 'x');
    const ids = device.createTensor([m, 1], 'u32', owner, 'ids');
    const id = (i: number): number => (7 + 131 * i) % semanticHead;
    device.write(
      ids,
      Uint32Array.from({ length: m }, (_, i) => id(i)),
    );
    const [state, call] = [inputs.state(owner, 0), inputs.call(owner, m)];
    return {
      op: m === 1 ? 'embedding_decode' : 'embedding',
      shape: `(${m}, ${H})`,
      dtype: inputs.dtype,
      bytes: m * H * (inputs.width + 4) + bytesOf(x),
      flops: m * H,
      output: x,
      record: (r) =>
        m === 1 ? embeddingDecode(r, x, table, positions, state) : embedding(r, x, ids, table, positions, call),
      expected: () =>
        places(m * H).map((at) => ({ at, value: K.at(id(Math.floor(at / H)) * H + (at % H)) + V.at(at), size: 1 })),
    };
  };

// The kernels of Bark's GPTs at the sizes that they have in a model.

import type { Device } from '../../runtime/compute/device.ts';
import { manyQueries, oneQuery } from './attention.ts';
import type { MakeCase } from './case.ts';
import { embed, norm } from './embedding.ts';
import { GptInputs, type GptShape } from './inputs.ts';
import { product, projection } from './products.ts';
import { draw, drawCodes } from './sampling.ts';

/** All cases of the GPTs for weights and caches of `dtype`. */
export function gptCases(device: Device, shape: GptShape, dtype: 'float16' | 'float32'): MakeCase[] {
  const inputs = new GptInputs(device, shape, dtype);
  const { hidden: H, semanticHead, codebook } = shape;
  const rows = [257, 887, 1024];
  return [
    projection(inputs, 1),
    product(inputs, 'linear_decode out', 1, H, H, { residual: true }),
    product(inputs, 'linear_decode mlp in', 1, 4 * H, H, { norm: true, gelu: true }),
    product(inputs, 'linear_decode mlp out', 1, H, 4 * H, { residual: true }),
    product(inputs, 'linear_decode semantic head', 1, semanticHead, H, { norm: true }),
    product(inputs, 'linear_decode coarse head', 1, codebook, H, { norm: true }),
    ...[257, 600, 1000].map((context) => oneQuery(inputs, context)),
    embed(inputs, 1),
    draw(inputs),
    ...rows.flatMap((m) => [
      projection(inputs, m),
      product(inputs, 'linear out', m, H, H, { residual: true }),
      product(inputs, 'linear mlp in', m, 4 * H, H, { gelu: true }),
      product(inputs, 'linear mlp out', m, H, 4 * H, { residual: true }),
    ]),
    product(inputs, 'linear fine head', 1024, codebook, H),
    ...rows.map((m) => manyQueries(inputs, m, true)),
    manyQueries(inputs, 1024, false),
    norm(inputs, 887),
    embed(inputs, 887),
    drawCodes(inputs),
  ];
}

// The two vectors that a decode step adds for a folded LayerNorm and a bias (`Linear.terms`). They
// are computed once, when weights are loaded, with the decode step's own GEMV.

import type { Device } from '../../runtime/compute/device.ts';
import type { Owner } from '../../runtime/compute/ledger.ts';
import { record } from '../../runtime/compute/program.ts';
import type { Tensor } from '../../runtime/compute/tensor.ts';
import { linearDecode } from './linear.ts';
import { createState } from '../state.ts';
import type { Linear } from '../common/products.ts';

/**
 * (2, N) f32 for a layer with N outputs, gain g and shift β of its LayerNorm: row 0 is Σ_k W·g, row
 * 1 is bias + Σ_k W·β (common/gemv.wgsl has the formula that uses them). Null without norm and
 * bias.
 * The new tensor belongs to `owner`. May return before the GPU is done.
 */
export async function linearTerms(
  device: Device,
  { weight, bias, norm }: Omit<Linear, 'terms'>,
  owner: Owner,
): Promise<Tensor | null> {
  if (!norm && !bias) return null;
  const [n, k] = weight.shape as [number, number];
  const terms = device.createTensor([2, n], 'f32', owner, `${weight.label} terms`);
  const commands = device.commands(`${weight.label} terms`);
  if (bias) commands.copy(bias.buffer, bias.offset, terms.buffer, 4 * n, 4 * n);
  if (!norm) {
    commands.submit();
    return terms;
  }
  const rows = norm.bias ? 2 : 1;
  const x = device.createTensor([rows, k], 'f32', 'staging', 'linear terms');
  const state = createState(device, 'staging');
  commands.copy(norm.weight.buffer, norm.weight.offset, x.buffer, 0, 4 * k);
  if (norm.bias) commands.copy(norm.bias.buffer, norm.bias.offset, x.buffer, 4 * k, 4 * k);
  // The GEMV of a decode step for one sentence, because that pipeline is compiled anyway.
  const bare: Linear = { weight, bias: null, norm: null, terms: null };
  const program = await record(
    device,
    (r) => linearDecode(r, { ...terms, shape: [rows, n] }, x, bare, state, { residual: true, tile: 1 }),
    { label: `${weight.label} terms` },
  );
  program.encode(commands);
  commands.submit();
  program.dispose();
  for (const t of [x, state]) device.destroyBuffer(t.buffer); // freed when the submitted work is done
  return terms;
}

// The weights of the fine model: the trunk of gpt.ts, a table of embeddings for each codebook, and
// heads that share the tables' memory wherever the checkpoint ties them.
// Reference: HF BarkFineModel (its _tied_weights_keys); suno-ai/bark model_fine.py.

import type { Destination } from '../../kernels/upload/destination.ts';
import { PANEL } from '../../kernels/upload/matrix.ts';
import { bytesPerElement, type Tensor } from '../../runtime/compute/tensor.ts';
import type { Weights } from '../../runtime/formats/weights.ts';
import type { BarkFineConfig } from '../config/config.ts';
import { loadTrunk, type Trunk } from './gpt.ts';

/**
 * The fine model: a table for each codebook, and heads that are, as a rule, the tables of all but
 * the first.
 */
export interface FineGpt extends Trunk {
  readonly config: BarkFineConfig;
  readonly tables: Tensor; // (n_codes_total · vocab, H): table c from row c · vocab on
  // rows from one table to the next: input_vocab_size, and what keeps tables at multiples of 256
  // bytes
  readonly vocab: number;
  readonly heads: readonly Tensor[]; // (output_vocab_size, H) each; head i predicts codebook i + n_codes_given
}

export async function loadFineGpt(to: Destination, w: Weights, config: BarkFineConfig): Promise<FineGpt> {
  const { n_codes_total, n_codes_given, input_vocab_size: V, output_vocab_size, hidden_size: H } = config;
  const trunk = await loadTrunk(to, w, config, true);
  // Heads are views into the tables, and bindings start at multiples of 256 bytes; and a processor
  // reads whole panels of rows.
  const rowBytes = H * bytesPerElement(to.dtype);
  let vocab = V;
  while ((vocab * rowBytes) % 256 !== 0 || vocab % PANEL !== 0) vocab++;
  const tables = to.room([n_codes_total * vocab, H], `${w.path} tables`);
  const heads: Tensor[] = [];
  for (let c = 0; c < n_codes_total; c++) {
    // Head c - 1 and table c are one tensor, which a file may have under either name. (The last
    // heads of n_codes_given > 1 do not exist.)
    const name =
      c > 0 && !w.has(`input_embeds_layers.${c}.weight`)
        ? w.either(`input_embeds_layers.${c}.weight`, `lm_heads.${c - 1}.weight`)
        : `input_embeds_layers.${c}.weight`;
    await to.fill(tables, w.tensor(name, [V, H], 'input_vocab_size'), c * vocab);
    to.arrived();
    if (c > 0 && c <= n_codes_total - n_codes_given)
      heads.push({
        ...tables,
        offset: c * vocab * rowBytes,
        shape: [output_vocab_size, H],
        label: `${w.path} head ${c - 1}`,
      });
  }
  // A head of its own where the config says so, and where a file has both names with different
  // values: so does the reference.
  for (let i = 0; i < heads.length; i++) {
    const [own, table] = [`lm_heads.${i}.weight`, `input_embeds_layers.${i + 1}.weight`];
    const tied = config.tie_word_embeddings && output_vocab_size === V;
    if (tied && !(w.has(own) && w.has(table))) continue;
    const head = w.tensor(own, [output_vocab_size, H], 'output_vocab_size');
    if (tied && (await to.same(head, w.tensor(table, [V, H], 'input_vocab_size')))) continue;
    heads[i] = await to.matrix(head);
  }
  return { ...trunk, config, tables, vocab, heads };
}

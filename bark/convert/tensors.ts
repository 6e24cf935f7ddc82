// Plans the tensors of a converted checkpoint: which there are and under which names, as
// transformers' save_pretrained writes them. Writes no file.
// The tensors of the three GPTs are those that the models' own loaders ask for, so their names and
// shapes are checked before anything is written. Two kinds of tensors are unknown to the loaders,
// because speech needs none of them, and are listed here: the causal masks, and the codec's encoder
// and training statistics.
// Reference: HF modeling_bark.py, modeling_encodec.py (transformers 5.23).

import { numQuantizers } from '../../encodec/config.ts';
import { toShapes, type Destination } from '../../kernels/upload/destination.ts';
import type { Checkpoint } from '../../runtime/formats/checkpoint.ts';
import type { TensorToWrite } from '../../runtime/formats/safetensors_write.ts';
import { sameValues, walkWeights, type TensorRef } from '../../runtime/formats/weights.ts';
import type { BarkConfig } from '../config/config.ts';
import { loadFineGpt } from '../gpt/fine_gpt.ts';
import { loadCausalGpt } from '../gpt/gpt.ts';
import { castBytes, FLOATS, type FloatDType } from './cast_bytes.ts';

export interface TensorPlan {
  /** Must be written one after the other: they share the memory that they are read into. */
  readonly tensors: TensorToWrite[];
  /** Parts that the checkpoint lacks: 'codec'. */
  readonly missing: string[];
  readonly warnings: string[];
  /** Finite values that became ±inf, by tensor; complete when all data is read. */
  readonly overflows: ReadonlyMap<string, number>;
}

/**
 * The tensors to write for a checkpoint of this config, floats as `dtype`. Throws `WeightsError`
 * for a GPT's tensor that is missing or of another shape than `config` says.
 */
export async function planTensors(checkpoint: Checkpoint, config: BarkConfig, dtype: FloatDType): Promise<TensorPlan> {
  const refs = new Map<string, TensorRef>(); // by the name that is written
  const used = new Set<string>();
  const tensors: TensorToWrite[] = [];
  const weights = walkWeights(checkpoint);
  const to = recorder(refs, used);
  for (const stage of ['semantic', 'coarse_acoustics'] as const) {
    const gpt = config[`${stage}_config`];
    await loadCausalGpt(to, weights.at(stage), gpt);
    for (let n = 0; n < gpt.num_layers; n++) tensors.push(causalMask(`${stage}.layers.${n}.attn.bias`, gpt.block_size));
  }
  await loadFineGpt(to, weights.at('fine_acoustics'), config.fine_acoustics_config);
  const warnings: string[] = [];
  const missing = takeCodec(checkpoint, config, refs, used, warnings) ? [] : ['codec'];

  const others = checkpoint.names().filter((name) => !used.has(name) && !name.endsWith('.attn.bias'));
  if (others.length > 0)
    warnings.push(
      `${checkpoint.label}: ${others.length} tensor(s) that no Bark of this config has were left out: ${others.slice(0, 3).join(', ')}${others.length > 3 ? ' …' : ''}.`,
    );
  const overflows = new Map<string, number>();
  const buffers = [new Uint8Array(PIECE), new Uint8Array(PIECE)] as const;
  for (const [name, ref] of refs)
    tensors.push(cast(name, ref, dtype, buffers, (count) => overflows.set(name, (overflows.get(name) ?? 0) + count)));
  return { tensors, missing, warnings, overflows };
}

/**
 * The converter's destination of a loader: reads no weights, and notes in `refs` each tensor that
 * must be written, by the name it is written under. `used` gets every name that was looked at.
 */
function recorder(refs: Map<string, TensorRef>, used: Set<string>): Destination {
  const shapes = toShapes('f32');
  const note = (ref: TensorRef, writtenAs = ref.name): void => {
    used.add(ref.name);
    refs.set(writtenAs, ref);
  };
  return {
    ...shapes,
    matrix(ref, rows) {
      note(ref);
      return shapes.matrix(ref, rows);
    },
    vector(ref) {
      note(ref);
      return shapes.vector(ref);
    },
    // The fine tables. Table i + 1 and head i are tied, and a file may have only the head's name;
    // transformers saves the table's.
    async fill(_room, ref) {
      note(
        ref,
        ref.name.replace(/lm_heads\.(\d+)/, (_, head: string) => `input_embeds_layers.${Number(head) + 1}`),
      );
    },
    // A head that equals its table is left out, and is no stranger either.
    same(head, table) {
      used.add(head.name);
      return sameValues(head, table);
    },
  };
}

const CODEC = 'codec_model.';
/**
 * Every tensor of HF's EncodecModel, the half that only encodes and what only training uses
 * included. The codec is not walked by its loader, because a checkpoint may hold any part of it.
 */
const CODEC_NAME =
  /^codec_model\.(?:(?:encoder|decoder)\.layers\.\d+\.(?:(?:block\.\d+\.|shortcut\.)?conv\.(?:weight_[gv]|weight|bias)|lstm\.(?:weight|bias)_[ih]h_l\d+)|quantizer\.layers\.(\d+)\.codebook\.(?:embed|embed_avg|cluster_size|inited))$/;

/**
 * Notes the codec's tensors, its encoder and statistics included; false where there are none. Adds
 * to `warnings` what the codec lacks. Throws `WeightsError` for codebooks of another size.
 */
function takeCodec(
  checkpoint: Checkpoint,
  config: BarkConfig,
  refs: Map<string, TensorRef>,
  used: Set<string>,
  warnings: string[],
): boolean {
  const books = numQuantizers(config.codec_config);
  const names = checkpoint.names().filter((name) => name.startsWith(CODEC));
  const found = new Set<string>();
  for (const name of names) {
    const saved = name
      .replace('parametrizations.weight.original0', 'weight_g')
      .replace('parametrizations.weight.original1', 'weight_v');
    const match = CODEC_NAME.exec(saved);
    if (!match || Number(match[1] ?? 0) >= books) continue;
    used.add(name);
    found.add(saved);
    const { shape } = checkpoint.info(name);
    const { codebook_size, codebook_dim } = config.codec_config;
    refs.set(
      saved,
      walkWeights(checkpoint).tensor(
        name,
        saved.endsWith('.embed') ? [codebook_size, codebook_dim] : shape,
        'codec_config',
      ),
    );
  }
  const half = (side: string) => [...found].filter((name) => name.startsWith(`${CODEC}${side}.`)).length;
  const lacks = [
    // The two halves mirror each other, tensor by tensor.
    ...(half('encoder') === half('decoder') ? [] : ['the whole encoder']),
    ...(Array.from({ length: books }, (_, q) => `${CODEC}quantizer.layers.${q}.codebook`).every(
      (book) => found.has(`${book}.embed`) && found.has(`${book}.inited`),
    )
      ? []
      : ['codebooks or their statistics']),
  ];
  if (found.size > 0 && lacks.length > 0)
    warnings.push(
      `${checkpoint.labelOf?.(CODEC) ?? checkpoint.label}: the codec lacks ${lacks.join(' and ')}. Speech needs only what is there; transformers fills the rest with noise and says so.`,
    );
  if ([...found].some((name) => name.endsWith('.conv.weight')))
    warnings.push(
      `${checkpoint.label}: the codec's weight norm is folded. This library reads it so; transformers needs weight_g and weight_v.`,
    );
  return found.size > 0;
}

const PIECE = 2 ** 22; // bytes of one read, so that host memory stays flat

/**
 * The causal mask of one layer, a lower triangle (1, 1, side, side). It is computed and not copied:
 * our loaders never read it, but transformers saves it and reports it as missing where it is not
 * there.
 */
function causalMask(name: string, side: number): TensorToWrite {
  return {
    name,
    dtype: 'BOOL',
    shape: [1, 1, side, side],
    async *data() {
      const rows = Math.max(1, Math.floor(PIECE / side));
      for (let from = 0; from < side; from += rows) {
        const bytes = new Uint8Array(side * Math.min(rows, side - from));
        for (let row = 0; row * side < bytes.length; row++) bytes.fill(1, row * side, row * side + from + row + 1);
        yield bytes;
      }
    },
  };
}

/**
 * A tensor in another float dtype; one that holds no floats is copied. Each piece of its data is
 * valid only until the next piece is requested.
 */
function cast(
  name: string,
  { info, read }: TensorRef,
  wanted: FloatDType,
  buffers: readonly [Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>],
  onOverflow: (count: number) => void,
): TensorToWrite {
  const isFloat = FLOATS.includes(info.dtype);
  const dtype = isFloat ? wanted : info.dtype;
  const convert = (bytes: Uint8Array<ArrayBuffer>) =>
    isFloat ? castBytes(bytes, info.dtype, wanted, onOverflow) : bytes;
  return {
    name,
    dtype,
    shape: info.shape,
    async *data() {
      const piece = (at: number) =>
        at < info.byteLength ? read(at, Math.min(at + PIECE, info.byteLength), buffers[(at / PIECE) % 2]) : undefined;
      let next = piece(0);
      try {
        for (let at = 0; at < info.byteLength; at += PIECE) {
          const bytes = (await next)!;
          next = piece(at + PIECE); // the disk reads while this piece is cast and written
          yield convert(bytes);
        }
      } finally {
        next?.catch(() => {}); // nobody waits for it any more
      }
    },
  };
}

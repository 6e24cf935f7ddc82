// The tensors of a Bark checkpoint as transformers' save_pretrained writes them: which there are,
// under which names, and their bytes in another dtype, piece by piece. Checks the GPTs' names and
// shapes before anything is written. Writes no file.
// Halves are torch's .half() bit for bit: f64 is rounded to f32 first, ties go to even, subnormals
// stay, overflow is ±inf, a NaN stays one, quiet, with the upper bits of its payload. Reference: HF
// modeling_bark.py, modeling_encodec.py (5.23).

import { numQuantizers } from '../../encodec/config.ts';
import { itemBytes } from '../../runtime/formats/checkpoint.ts';
import type { Checkpoint, StoredDType } from '../../runtime/formats/checkpoint.ts';
import { bfloat16ToFloat32, float16ToFloat32, float32ToFloat16 } from '../../runtime/base/half.ts';
import type { TensorToWrite } from '../../runtime/formats/safetensors_write.ts';
import { sameValues, walkWeights, type TensorRef, type Weights } from '../../runtime/formats/weights.ts';
import type { BarkConfig, BarkFineConfig, BarkSubModelConfig } from '../config/config.ts';

export type FloatDType = 'F32' | 'F16';

export interface TensorPlan {
  /** To be written one after the other: they share the memory that they are read into. */
  readonly tensors: TensorToWrite[];
  /** Parts that the checkpoint lacks: 'codec'. */
  readonly missing: string[];
  readonly warnings: string[];
  /** Finite values that became ±inf, by tensor; complete when all data is read. */
  readonly overflows: ReadonlyMap<string, number>;
}

/**
 * Throws `WeightsError` for a GPT's tensor that is missing or of another shape than `config` says.
 */
export async function planTensors(checkpoint: Checkpoint, config: BarkConfig, dtype: FloatDType): Promise<TensorPlan> {
  const refs = new Map<string, TensorRef>(); // by the name that is written
  const used = new Set<string>();
  const tensors: TensorToWrite[] = [];
  const weights = walkWeights(checkpoint);
  for (const stage of ['semantic', 'coarse_acoustics'] as const) {
    const gpt = config[`${stage}_config`];
    const at = weights.at(stage);
    const take = taker(at, refs, used);
    take('input_embeds_layer.weight', [gpt.input_vocab_size, gpt.hidden_size], 'input_vocab_size');
    takeTrunk(take, gpt, gpt.bias);
    take('lm_head.weight', [gpt.output_vocab_size, gpt.hidden_size], 'output_vocab_size');
    for (let n = 0; n < gpt.num_layers; n++)
      tensors.push(causalMask(`${at.path}.layers.${n}.attn.bias`, gpt.block_size));
  }
  await takeFine(weights.at('fine_acoustics'), config.fine_acoustics_config, refs, used);
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

type Take = (leaf: string, shape: readonly number[], hint: string, writtenAs?: string) => void;

function taker(at: Weights, refs: Map<string, TensorRef>, used: Set<string>): Take {
  return (leaf, shape, hint, writtenAs = leaf) => {
    const ref = at.tensor(leaf, shape, hint);
    used.add(ref.name);
    refs.set(`${at.path}.${writtenAs}`, ref);
  };
}

function takeTrunk(
  take: Take,
  { block_size, num_layers, hidden_size: H, bias }: BarkSubModelConfig,
  normBias: boolean,
): void {
  const norm = (name: string) => {
    take(`${name}.weight`, [H], 'hidden_size');
    if (normBias) take(`${name}.bias`, [H], 'hidden_size');
  };
  const linear = (name: string, out: number, width: number) => {
    take(`${name}.weight`, [out, width], 'hidden_size');
    if (bias) take(`${name}.bias`, [out], 'hidden_size');
  };
  take('position_embeds_layer.weight', [block_size, H], 'block_size');
  for (let n = 0; n < num_layers; n++) {
    const layer = `layers.${n}`;
    norm(`${layer}.layernorm_1`);
    linear(`${layer}.attn.att_proj`, 3 * H, H);
    linear(`${layer}.attn.out_proj`, H, H);
    norm(`${layer}.layernorm_2`);
    linear(`${layer}.mlp.in_proj`, 4 * H, H);
    linear(`${layer}.mlp.out_proj`, H, 4 * H);
  }
  norm('layernorm_final');
}

/** The tables under their own names; a head only where it is not table i + 1. */
async function takeFine(
  at: Weights,
  config: BarkFineConfig,
  refs: Map<string, TensorRef>,
  used: Set<string>,
): Promise<void> {
  const { n_codes_total, n_codes_given, input_vocab_size: V, output_vocab_size, hidden_size: H } = config;
  const take = taker(at, refs, used);
  for (let c = 0; c < n_codes_total; c++) {
    const table = `input_embeds_layers.${c}.weight`;
    take(
      c > 0 && !at.has(table) ? at.either(table, `lm_heads.${c - 1}.weight`) : table,
      [V, H],
      'input_vocab_size',
      table,
    );
  }
  takeTrunk(take, config, true);
  for (let i = 0; i < n_codes_total - n_codes_given; i++) {
    const [own, table] = [`lm_heads.${i}.weight`, `input_embeds_layers.${i + 1}.weight`];
    const tied = config.tie_word_embeddings && output_vocab_size === V;
    if (tied && !(at.has(own) && at.has(table))) continue;
    const head = at.tensor(own, [output_vocab_size, H], 'output_vocab_size');
    used.add(head.name);
    if (tied && (await sameValues(head, at.tensor(table, [V, H])))) continue;
    take(own, [output_vocab_size, H], 'output_vocab_size');
  }
}

const CODEC = 'codec_model.';
const CODEC_NAME =
  /^codec_model\.(?:(?:encoder|decoder)\.layers\.\d+\.(?:(?:block\.\d+\.|shortcut\.)?conv\.(?:weight_[gv]|weight|bias)|lstm\.(?:weight|bias)_[ih]h_l\d+)|quantizer\.layers\.(\d+)\.codebook\.(?:embed|embed_avg|cluster_size|inited))$/;

/**
 * The codec's tensors, encoder and statistics included; false where there are none. Throws
 * `WeightsError` for codebooks of another codec.
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
      `${checkpoint.labelOf?.(CODEC) ?? checkpoint.label}: the codec has not ${lacks.join(' and not ')}. Speech needs only what is there; transformers fills the rest with noise and says so.`,
    );
  if ([...found].some((name) => name.endsWith('.conv.weight')))
    warnings.push(
      `${checkpoint.label}: the codec's weight norm is folded. This library reads it so; transformers needs weight_g and weight_v.`,
    );
  return found.size > 0;
}

const PIECE = 2 ** 22; // bytes of one read, so that host memory stays flat

/**
 * transformers saves the causal mask of each layer, a lower triangle, as a tensor and misses it
 * when it is not there.
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
 * A tensor in another float dtype; one that holds no floats stays as it is. Its pieces are good
 * until the next is asked for.
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
          next = piece(at + PIECE); // the disk reads on while this piece is cast and written
          yield convert(bytes);
        }
      } finally {
        next?.catch(() => {}); // nobody waits for it any more
      }
    },
  };
}

const FLOATS: readonly StoredDType[] = ['F16', 'BF16', 'F32', 'F64'];

/**
 * Values of one float dtype as the bytes of another; how many finite ones became infinite is told.
 */
export function castBytes(
  bytes: Uint8Array<ArrayBuffer>,
  from: StoredDType,
  to: FloatDType,
  onOverflow: (count: number) => void = () => {},
): Uint8Array<ArrayBuffer> {
  if (from === to) return bytes;
  const { buffer, byteOffset, byteLength } = bytes.byteOffset % itemBytes[from] === 0 ? bytes : bytes.slice();
  const count = byteLength / itemBytes[from];
  let floats: Float32Array<ArrayBuffer>;
  let isFinite = (i: number) => Number.isFinite(floats[i]);
  if (from === 'F16') floats = float16ToFloat32(new Uint16Array(buffer, byteOffset, count));
  else if (from === 'BF16') floats = bfloat16ToFloat32(new Uint16Array(buffer, byteOffset, count));
  else if (from === 'F64') {
    const doubles = new Float64Array(buffer, byteOffset, count);
    floats = new Float32Array(doubles);
    isFinite = (i) => Number.isFinite(doubles[i]);
  } else floats = new Float32Array(buffer, byteOffset, count);

  let overflows = 0;
  if (to === 'F32') {
    if (from === 'F64')
      for (let i = 0; i < count; i++) if (Math.abs(floats[i]!) === Infinity && isFinite(i)) overflows++;
    if (overflows > 0) onOverflow(overflows);
    return new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);
  }
  const halves = float32ToFloat16(floats);
  for (let i = 0; i < count; i++) if ((halves[i]! & 0x7fff) === 0x7c00 && isFinite(i)) overflows++;
  if (overflows > 0) onOverflow(overflows);
  return new Uint8Array(halves.buffer);
}

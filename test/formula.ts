// Formula weights: a whole Bark checkpoint whose every value is a hash of the tensor's name and the
// element's index, so that Python (fixtures/formula.py, for transformers) and TypeScript build the
// same model and no weights need to be stored.
// Values are computed when they are read: a table of 129600 rows costs nothing before that.
// The list of tensors is written out here on purpose, and not taken from the loaders in bark/ and
// encodec/: a tensor that a loader forgets or misspells must not be missing here, too.

import type { Checkpoint, StoredDType, TensorInfo } from '../runtime/formats/checkpoint.ts';
import { WeightsError } from '../runtime/base/errors.ts';
import type { GptConfig, CodecConfig, BarkConfigJson } from './fixtures/config_json.ts';
type Stage = 'semantic' | 'coarse_acoustics' | 'fine_acoustics' | 'codec_model';

/**
 * What a fixture says about its weights. `tags` end the hashed names, per stage; `scale` multiplies
 * by name prefix.
 */
export interface Formula {
  readonly tags?: Partial<Record<Stage, string>>;
  readonly scale?: Record<string, number>;
}

export interface FormulaOptions extends Formula {
  /** Which spelling of weight norm the codec's convolutions come in; `plain` is already folded. */
  readonly weightNorm?: 'g_v' | 'parametrizations' | 'plain';
  /**
   * Which names of the tied fine tables exist. Real files: .bin has both, .safetensors only the
   * embeddings.
   */
  readonly fineHeads?: 'both' | 'embeddings' | 'heads';
  /**
   * Also list some tensors that decoding never needs (encoder, statistics, a ninth codebook), to
   * prove they are skipped.
   */
  readonly extras?: boolean;
}

/** FNV-1a, 32 bit, over the UTF-8 bytes. */
function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/** Murmur3's finalizer of (hash + i · golden ratio), as an unsigned 32-bit number. */
function mix(hash: number, i: number): number {
  let x = (hash + Math.imul(i, 0x9e3779b9)) | 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

/** `count` ids below `modulus`, as the fixtures draw prompts and codes. */
export function formulaIds(name: string, count: number, modulus: number, tag = '#2'): Int32Array {
  const hash = fnv1a(name + tag);
  return Int32Array.from({ length: count }, (_, i) => mix(hash, i) % modulus);
}

/** [offset, slope]: a value is offset + slope · u, u in [−1, 1). */
function rule(name: string): readonly [number, number] {
  if (name.startsWith('codec_model.')) {
    if (name.includes('.lstm.weight_')) return [0, 0.05];
    if (name.endsWith('weight_g')) return [1.5, 0.5];
    if (name.endsWith('weight_v') || name.endsWith('codebook.embed')) return [0, 1];
    return [0, 0.1];
  }
  if (name.includes('layernorm')) return name.endsWith('.bias') ? [0, 0.2] : [1, 0.5];
  return name.endsWith('.bias') ? [0, 0.2] : [0, 0.3];
}

function stageOf(name: string): Stage {
  return name.slice(0, name.indexOf('.')) as Stage;
}

function scaleOf(name: string, scale: Record<string, number> = {}): number {
  let factor = 1;
  for (const [prefix, value] of Object.entries(scale)) if (name.startsWith(prefix)) factor *= value;
  return factor;
}

/** Elements [start, end) of the tensor that the checkpoint calls `name`. */
export function formulaValues(
  name: string,
  start: number,
  end: number,
  formula: Formula = {},
): Float32Array<ArrayBuffer> {
  const hash = fnv1a(name + (formula.tags?.[stageOf(name)] ?? '#2'));
  const [offset, slope] = rule(name);
  const factor = scaleOf(name, formula.scale);
  const values = new Float32Array(end - start);
  for (let i = start; i < end; i++)
    values[i - start] = (offset + slope * ((mix(hash, i) >>> 8) / 2 ** 23 - 1)) * factor;
  return values;
}

interface Entry {
  shape: number[];
  dtype: 'F32' | 'BOOL';
  values(start: number, end: number): Float32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>;
}
type Add = (name: string, shape: number[], from?: string) => void;

function addBlocks(add: Add, prefix: string, config: GptConfig, normBias: boolean): void {
  const H = config.hidden_size;
  const norm = (name: string): void => {
    add(`${name}.weight`, [H]);
    if (normBias) add(`${name}.bias`, [H]);
  };
  const linear = (name: string, out: number, width: number): void => {
    add(`${name}.weight`, [out, width]);
    if (config.bias) add(`${name}.bias`, [out]);
  };
  add(`${prefix}.position_embeds_layer.weight`, [config.block_size, H]);
  for (let n = 0; n < config.num_layers; n++) {
    const layer = `${prefix}.layers.${n}`;
    norm(`${layer}.layernorm_1`);
    linear(`${layer}.attn.att_proj`, 3 * H, H);
    linear(`${layer}.attn.out_proj`, H, H);
    norm(`${layer}.layernorm_2`);
    linear(`${layer}.mlp.in_proj`, 4 * H, H);
    linear(`${layer}.mlp.out_proj`, H, 4 * H);
  }
  norm(`${prefix}.layernorm_final`);
}

function addFine(add: Add, config: GptConfig, which: 'both' | 'embeddings' | 'heads'): void {
  const prefix = 'fine_acoustics';
  const shape = [config.input_vocab_size, config.hidden_size];
  const codes = config.n_codes_total ?? 8;
  const heads = codes - (config.n_codes_given ?? 1);
  for (let i = 0; i < codes; i++) {
    if (which !== 'heads' || i === 0 || i > heads) add(`${prefix}.input_embeds_layers.${i}.weight`, shape);
  }
  for (let i = 0; i < heads; i++) {
    if (which !== 'embeddings')
      add(`${prefix}.lm_heads.${i}.weight`, shape, `${prefix}.input_embeds_layers.${i + 1}.weight`);
  }
  addBlocks(add, prefix, config, true);
}

function addCodec(
  add: Add,
  conv: (name: string, shape: number[], bias: number) => void,
  config: CodecConfig,
  codes: number,
  extras: boolean,
): void {
  const decoder = 'codec_model.decoder.layers';
  let width = config.num_filters * 2 ** config.upsampling_ratios.length;
  conv(`${decoder}.0`, [width, config.hidden_size, config.kernel_size], width);
  for (let n = 0; n < config.num_lstm_layers; n++) {
    for (const side of ['ih', 'hh']) add(`${decoder}.1.lstm.weight_${side}_l${n}`, [4 * width, width]);
    for (const side of ['ih', 'hh']) add(`${decoder}.1.lstm.bias_${side}_l${n}`, [4 * width]);
  }
  let layer = 2;
  for (const ratio of config.upsampling_ratios) {
    conv(`${decoder}.${layer + 1}`, [width, width / 2, 2 * ratio], width / 2);
    layer += 2;
    width /= 2;
    const inner = Math.floor(width / config.compress);
    for (let j = 0; j < config.num_residual_layers; j++, layer++) {
      conv(`${decoder}.${layer}.block.1`, [inner, width, config.residual_kernel_size], inner);
      conv(`${decoder}.${layer}.block.3`, [width, inner, 1], width);
      if (config.use_conv_shortcut) conv(`${decoder}.${layer}.shortcut`, [width, width, 1], width);
    }
  }
  conv(
    `${decoder}.${layer + 1}`,
    [config.audio_channels, config.num_filters, config.last_kernel_size],
    config.audio_channels,
  );
  for (let q = 0; q < codes + (extras ? 1 : 0); q++) {
    const codebook = `codec_model.quantizer.layers.${q}.codebook`;
    add(`${codebook}.embed`, [config.codebook_size, config.codebook_dim]);
    if (!extras) continue;
    add(`${codebook}.inited`, [1]);
    add(`${codebook}.cluster_size`, [config.codebook_size]);
    add(`${codebook}.embed_avg`, [config.codebook_size, config.codebook_dim]);
  }
  if (extras)
    conv(
      'codec_model.encoder.layers.0',
      [config.num_filters, config.audio_channels, config.kernel_size],
      config.num_filters,
    );
}

/** g · v / ‖v‖ with the norm over all dimensions but the first; in f64, rounded once. */
function folded(name: string, shape: number[], formula: Formula): Float32Array<ArrayBuffer> {
  const rows = shape[0]!;
  const columns = shape.slice(1).reduce((a, b) => a * b, 1);
  const v = formulaValues(`${name}.weight_v`, 0, rows * columns, formula);
  const g = formulaValues(`${name}.weight_g`, 0, rows, formula);
  for (let r = 0; r < rows; r++) {
    const row = v.subarray(r * columns, (r + 1) * columns);
    const factor = g[r]! / Math.sqrt(row.reduce((sum, x) => sum + x * x, 0));
    for (let c = 0; c < columns; c++) row[c] = row[c]! * factor;
  }
  return v;
}

function entries(config: Partial<BarkConfigJson>, options: FormulaOptions): Map<string, Entry> {
  const { weightNorm = 'g_v', fineHeads = 'both', extras = true } = options;
  const map = new Map<string, Entry>();
  const add: Add = (name, shape, from = name) => {
    map.set(name, { shape, dtype: 'F32', values: (start, end) => formulaValues(from, start, end, options) });
  };
  const conv = (layer: string, shape: number[], bias: number): void => {
    const name = `${layer}.conv`;
    add(`${name}.bias`, [bias]);
    if (weightNorm === 'plain') {
      map.set(`${name}.weight`, {
        shape,
        dtype: 'F32',
        values: (start, end) => folded(name, shape, options).slice(start, end),
      });
      return;
    }
    const [g, v] =
      weightNorm === 'g_v'
        ? ['weight_g', 'weight_v']
        : ['parametrizations.weight.original0', 'parametrizations.weight.original1'];
    add(`${name}.${g}`, [shape[0]!, 1, 1], `${name}.weight_g`);
    add(`${name}.${v}`, shape, `${name}.weight_v`);
  };
  for (const stage of ['semantic', 'coarse_acoustics'] as const) {
    const gpt = config[`${stage}_config`];
    if (!gpt) continue;
    add(`${stage}.input_embeds_layer.weight`, [gpt.input_vocab_size, gpt.hidden_size]);
    addBlocks(add, stage, gpt, gpt.bias);
    add(`${stage}.lm_head.weight`, [gpt.output_vocab_size, gpt.hidden_size]);
    const side = gpt.block_size;
    for (let n = 0; n < gpt.num_layers; n++) {
      // The causal mask that transformers saves as a buffer. Its name looks like a bias vector's;
      // it is none.
      const values = (start: number, end: number): Uint8Array<ArrayBuffer> =>
        Uint8Array.from({ length: end - start }, (_, k) =>
          Number((start + k) % side <= Math.floor((start + k) / side)),
        );
      map.set(`${stage}.layers.${n}.attn.bias`, { shape: [1, 1, side, side], dtype: 'BOOL', values });
    }
  }
  if (config.fine_acoustics_config) addFine(add, config.fine_acoustics_config, fineHeads);
  if (config.codec_config)
    addCodec(add, conv, config.codec_config, config.fine_acoustics_config?.n_codes_total ?? 8, extras);
  return map;
}

/**
 * A lazy F32 checkpoint with the tensors that transformers would save for `config` (a parsed
 * config.json, or some stages of it).
 */
export function formulaWeights(config: Partial<BarkConfigJson>, options: FormulaOptions = {}): Checkpoint {
  const map = entries(config, options);
  const label = 'formula weights';
  const find = (name: string): Entry => {
    const entry = map.get(name);
    if (!entry) throw new WeightsError(`${label}: got no tensor ${name}, expected one. Check the name.`);
    return entry;
  };
  const info = (name: string): TensorInfo => {
    const { shape, dtype } = find(name);
    const count = shape.reduce((a, b) => a * b, 1);
    return { name, dtype: dtype satisfies StoredDType, shape, byteLength: dtype === 'F32' ? 4 * count : count };
  };
  return {
    label,
    names: () => [...map.keys()],
    has: (name) => map.has(name),
    info,
    async read(name, start = 0, end = info(name).byteLength) {
      const entry = find(name);
      const size = entry.dtype === 'F32' ? 4 : 1;
      const first = Math.floor(start / size);
      const values = entry.values(first, Math.ceil(end / size));
      return new Uint8Array(values.buffer, values.byteOffset, values.byteLength).slice(
        start - first * size,
        end - first * size,
      );
    },
    async close() {},
  };
}

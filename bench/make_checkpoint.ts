// Makes a checkpoint folder of the released models' exact shapes with arbitrary, deterministic weights: for timing, for memory, and to show
// that full-size models load and run. It speaks noise. Never commit what it writes (small: 1.6 GB in f32, large: 4.4 GB).
//
//   node --import tsx bench/make_checkpoint.ts small|large DIR [f32|f16]

import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { float32ToFloat16 } from '../runtime/half.ts';

/** hidden_size, num_heads and num_layers of the released models; all else is the same in both. */
const SIZES = {
  small: { hidden_size: 768, num_heads: 12, num_layers: 12 },
  large: { hidden_size: 1024, num_heads: 16, num_layers: 24 },
} as const;

const VOCAB = { semantic: [129600, 10048], coarse_acoustics: [12096, 12096], fine_acoustics: [1056, 1056] } as const;
const CODEBOOKS = 8;

type Shape = readonly number[];

function tensors(size: keyof typeof SIZES): Map<string, Shape> {
  const { hidden_size: H, num_layers } = SIZES[size];
  const all = new Map<string, Shape>();
  for (const [stage, [input, output]] of Object.entries(VOCAB)) {
    const fine = stage === 'fine_acoustics';
    const norm = (name: string): void => {
      all.set(`${stage}.${name}.weight`, [H]);
      if (fine) all.set(`${stage}.${name}.bias`, [H]);
    };
    if (fine) for (let c = 0; c < CODEBOOKS; c++) all.set(`${stage}.input_embeds_layers.${c}.weight`, [input, H]);
    else all.set(`${stage}.input_embeds_layer.weight`, [input, H]).set(`${stage}.lm_head.weight`, [output, H]);
    all.set(`${stage}.position_embeds_layer.weight`, [1024, H]);
    for (let n = 0; n < num_layers; n++) {
      const at = `layers.${n}`;
      norm(`${at}.layernorm_1`);
      all.set(`${stage}.${at}.attn.att_proj.weight`, [3 * H, H]).set(`${stage}.${at}.attn.out_proj.weight`, [H, H]);
      norm(`${at}.layernorm_2`);
      all.set(`${stage}.${at}.mlp.in_proj.weight`, [4 * H, H]).set(`${stage}.${at}.mlp.out_proj.weight`, [H, 4 * H]);
    }
    norm('layernorm_final');
  }
  codecTensors(all);
  return all;
}

/** The decoder of EnCodec 24 kHz, and its first eight codebooks. */
function codecTensors(all: Map<string, Shape>): void {
  const at = 'codec_model.decoder.layers';
  const conv = (name: string, out: number, from: number, k: number, transposed = false): void => {
    const [first, second] = transposed ? [from, out] : [out, from];
    all.set(`${at}.${name}.conv.weight_g`, [first, 1, 1]).set(`${at}.${name}.conv.weight_v`, [first, second, k]).set(`${at}.${name}.conv.bias`, [out]);
  };
  conv('0', 512, 128, 7);
  for (const l of [0, 1]) {
    for (const side of ['ih', 'hh']) all.set(`${at}.1.lstm.weight_${side}_l${l}`, [2048, 512]).set(`${at}.1.lstm.bias_${side}_l${l}`, [2048]);
  }
  let channels = 512;
  [8, 5, 4, 2].forEach((ratio, i) => {
    const half = channels / 2;
    conv(`${3 + 3 * i}`, half, channels, 2 * ratio, true);
    conv(`${4 + 3 * i}.block.1`, half / 2, half, 3);
    conv(`${4 + 3 * i}.block.3`, half, half / 2, 1);
    conv(`${4 + 3 * i}.shortcut`, half, half, 1);
    channels = half;
  });
  conv('15', 1, 32, 7);
  for (let q = 0; q < CODEBOOKS; q++) all.set(`codec_model.quantizer.layers.${q}.codebook.embed`, [1024, 128]);
}

/** config.json and generation_config.json with the released values; keys that nobody reads are left out. */
function configs(size: keyof typeof SIZES): { config: object; generation: object } {
  const gpt = (stage: keyof typeof VOCAB): object => ({ ...SIZES[size], block_size: 1024, bias: false, input_vocab_size: VOCAB[stage][0], output_vocab_size: VOCAB[stage][1] });
  const sampling = { do_sample: true, temperature: 0.7, top_k: 50, top_p: 1.0 };
  return {
    config: {
      model_type: 'bark', architectures: ['BarkModel'],
      semantic_config: gpt('semantic'), coarse_acoustics_config: gpt('coarse_acoustics'),
      fine_acoustics_config: { ...gpt('fine_acoustics'), n_codes_total: CODEBOOKS, n_codes_given: 1 },
      codec_config: { model_type: 'encodec', target_bandwidths: [1.5, 3.0, 6.0], codebook_size: 1024, codebook_dim: 128 },
    },
    generation: {
      model_type: 'bark', codebook_size: 1024, sample_rate: 24000,
      semantic_config: {
        ...sampling, eos_token_id: 10000, max_new_tokens: 768, text_encoding_offset: 10048, text_pad_token: 129595, semantic_pad_token: 10000,
        semantic_infer_token: 129599, semantic_vocab_size: 10000, max_input_semantic_length: 256, semantic_rate_hz: 49.9,
      },
      coarse_acoustics_config: {
        ...sampling, coarse_semantic_pad_token: 12048, coarse_infer_token: 12050, coarse_rate_hz: 75, n_coarse_codebooks: 2,
        max_coarse_input_length: 256, max_coarse_history: 630, sliding_window_len: 60,
      },
      fine_acoustics_config: { temperature: 0.5, max_fine_history_length: 512, max_fine_input_length: 1024, n_fine_codebooks: CODEBOOKS },
    },
  };
}

const BLOCK = 1 << 18; // values of the block that all tensors are cut from

/** Numbers in [-1, 1), the same every time. */
function block(): Float32Array {
  let a = 0x9e3779b9;
  return Float32Array.from({ length: BLOCK }, () => {
    a = Math.imul(a ^ (a >>> 15), 0x2c1b3c6d) + 0x6d2b79f5;
    return (a >>> 8) / 2 ** 23 - 1;
  });
}

/** The scale of a tensor's values: what keeps activations of random layers near 1. */
function scaleOf(name: string, shape: Shape): { scale: number; offset: number } {
  if (/layernorm.*weight$/.test(name) || name.endsWith('weight_g')) return { scale: 0.1, offset: 1 };
  if (name.endsWith('bias')) return { scale: 0.02, offset: 0 };
  if (name.includes('embed')) return { scale: 0.2, offset: 0 };
  return { scale: 1 / Math.sqrt(shape.slice(1).reduce((a, b) => a * b, 1)), offset: 0 };
}

export function makeCheckpoint(size: keyof typeof SIZES, dir: string, dtype: 'f32' | 'f16' = 'f32'): void {
  mkdirSync(dir, { recursive: true });
  const { config, generation } = configs(size);
  writeFileSync(join(dir, 'config.json'), JSON.stringify(config, null, 2));
  writeFileSync(join(dir, 'generation_config.json'), JSON.stringify(generation, null, 2));
  writeFileSync(join(dir, 'vocab.txt'), ['[PAD]', ...Array.from({ length: 99 }, (_, i) => `[unused${i + 1}]`), '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'hello', 'there', '.', ','].join('\n'));

  const width = dtype === 'f32' ? 4 : 2;
  const all = tensors(size);
  let end = 0;
  const header = Object.fromEntries(
    [...all].map(([name, shape]) => {
      const begin = end;
      end += width * shape.reduce((a, b) => a * b, 1);
      return [name, { dtype: dtype.toUpperCase(), shape, data_offsets: [begin, end] }];
    }),
  );
  const json = JSON.stringify(header).padEnd(Math.ceil(JSON.stringify(header).length / 8) * 8);
  const file = openSync(join(dir, 'model.safetensors'), 'w');
  const length = new BigUint64Array([BigInt(json.length)]);
  writeSync(file, new Uint8Array(length.buffer));
  writeSync(file, json);
  const values = block();
  let at = 0;
  for (const [name, shape] of all) {
    const { scale, offset } = scaleOf(name, shape);
    const scaled = values.map((v) => v * scale + offset);
    const bytes = new Uint8Array((dtype === 'f32' ? scaled : float32ToFloat16(scaled)).buffer);
    let left = width * shape.reduce((a, b) => a * b, 1);
    while (left > 0) {
      const from = width * at;
      const n = Math.min(left, bytes.length - from);
      writeSync(file, bytes, from, n);
      left -= n;
      at = (at + n / width + 7919) % BLOCK; // a prime step: neighbouring rows are not alike
    }
  }
  closeSync(file);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [size, dir, dtype = 'f32'] = process.argv.slice(2);
  if (!(size === 'small' || size === 'large') || !dir || !(dtype === 'f32' || dtype === 'f16')) {
    console.error('usage: make_checkpoint.ts small|large DIR [f32|f16]');
    process.exit(2);
  }
  makeCheckpoint(size, dir, dtype);
}

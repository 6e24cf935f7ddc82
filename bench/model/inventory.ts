// The tensors of the released checkpoints, by formula: names, shapes, dtypes and which are tied, in
// the order of the model's modules. No content and no file format; make_checkpoint.ts fills them
// with numbers.
// The list is written out, because most of it is what the models' loaders never ask for (masks, the
// codec's encoder, training statistics). Two tests keep it true: one compares it with the tensor
// lists of the released files, the other the tensors marked `needed` with what the loaders look up.
// Reference: suno/bark-small and suno/bark, pytorch_model.bin: 542 and 806 tensors; HF BarkModel
// and EncodecModel (facebook/encodec_24khz).

export interface BenchTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: 'F32' | 'BOOL';
  /** The name of the earlier tensor that it shares its storage with. */
  readonly tied?: string;
  /**
   * Whether speaking needs it. Not needed are the attention masks, the codec's encoder, and what
   * only training uses.
   */
  readonly needed: boolean;
}

export interface ModelShape {
  readonly hidden_size: number;
  readonly num_heads: number;
  readonly num_layers: number;
  /** The codec's. */
  readonly num_filters: number;
}

/** The released models, and a narrow one of two layers with the same tensors, for tests. */
export const MODELS = {
  small: { hidden_size: 768, num_heads: 12, num_layers: 12, num_filters: 32 },
  large: { hidden_size: 1024, num_heads: 16, num_layers: 24, num_filters: 32 },
  tiny: { hidden_size: 32, num_heads: 2, num_layers: 2, num_filters: 4 },
} as const satisfies Record<string, ModelShape>;

export type ModelName = keyof typeof MODELS;
export const isModelName = (name: string): name is ModelName => Object.hasOwn(MODELS, name);

/** input_vocab_size and output_vocab_size of the stages. */
const VOCAB = {
  semantic: [129600, 10048],
  coarse_acoustics: [12096, 12096],
  fine_acoustics: [1056, 1056],
} as const;
export const BLOCK_SIZE = 1024;
export const CODEBOOKS = 8; // the codebooks that Bark speaks with, of STORED_CODEBOOKS in the file
const STORED_CODEBOOKS = 32;
const RATIOS = [8, 5, 4, 2];

export const byteLength = ({ shape, dtype }: Pick<BenchTensor, 'shape' | 'dtype'>): number =>
  shape.reduce((a, b) => a * b, dtype === 'F32' ? 4 : 1);

/** All tensors of the model. */
export function inventory(model: ModelShape): BenchTensor[] {
  const all: BenchTensor[] = [];
  const add = (name: string, shape: readonly number[], more: Partial<BenchTensor> = {}): void =>
    void all.push({ name, shape, dtype: 'F32', needed: true, ...more });
  for (const stage of Object.keys(VOCAB) as (keyof typeof VOCAB)[]) addGpt(add, stage, model);
  addCodec(add, model.num_filters);
  return all;
}

/**
 * How many rows of these tables and heads generation can meet; the others are not read. They are
 * the semantic tokens with the end token and the infer token, and the coarse codes.
 */
const MET_ROWS: Readonly<Record<string, number>> = {
  'semantic.input_embeds_layer.weight': 10002,
  'semantic.lm_head.weight': 10001,
  'coarse_acoustics.lm_head.weight': 2096,
};

/** Bytes of weights that speaking needs, stored in f32. */
export function neededBytes(model: ModelShape): number {
  const needed = inventory(model).filter((t) => t.needed && !t.tied);
  return needed.reduce(
    (sum, t) => sum + (t.name in MET_ROWS ? (byteLength(t) / t.shape[0]!) * MET_ROWS[t.name]! : byteLength(t)),
    0,
  );
}

type Add = (name: string, shape: readonly number[], more?: Partial<BenchTensor>) => void;

function addGpt(add: Add, stage: keyof typeof VOCAB, { hidden_size: H, num_layers }: ModelShape): void {
  const [input, output] = VOCAB[stage];
  const fine = stage === 'fine_acoustics';
  const norm = (name: string): void => {
    add(`${stage}.${name}.weight`, [H]);
    if (fine) add(`${stage}.${name}.bias`, [H]);
  };
  if (fine) for (let c = 0; c < CODEBOOKS; c++) add(`${stage}.input_embeds_layers.${c}.weight`, [input, H]);
  else add(`${stage}.input_embeds_layer.weight`, [input, H]);
  add(`${stage}.position_embeds_layer.weight`, [BLOCK_SIZE, H]);
  for (let n = 0; n < num_layers; n++) {
    const at = `layers.${n}`;
    norm(`${at}.layernorm_1`);
    norm(`${at}.layernorm_2`);
    if (!fine) add(`${stage}.${at}.attn.bias`, [1, 1, BLOCK_SIZE, BLOCK_SIZE], { dtype: 'BOOL', needed: false });
    add(`${stage}.${at}.attn.att_proj.weight`, [3 * H, H]);
    add(`${stage}.${at}.attn.out_proj.weight`, [H, H]);
    add(`${stage}.${at}.mlp.in_proj.weight`, [4 * H, H]);
    add(`${stage}.${at}.mlp.out_proj.weight`, [H, 4 * H]);
  }
  norm('layernorm_final');
  if (fine)
    for (let c = 1; c < CODEBOOKS; c++)
      add(`${stage}.lm_heads.${c - 1}.weight`, [output, H], { tied: `${stage}.input_embeds_layers.${c}.weight` });
  else add(`${stage}.lm_head.weight`, [output, H]);
}

function addCodec(add: Add, F: number): void {
  const half = { encoder: false, decoder: true } as const;
  for (const side of ['encoder', 'decoder'] as const) {
    const more = { needed: half[side] };
    const at = `codec_model.${side}.layers`;
    // `first`, `second`: the weight's first two sizes: (out, in), but (in, out) in a transposed
    // convolution.
    const conv = (name: string, first: number, second: number, kernel: number, out = first): void => {
      add(`${at}.${name}.conv.bias`, [out], more);
      add(`${at}.${name}.conv.weight_g`, [first, 1, 1], more);
      add(`${at}.${name}.conv.weight_v`, [first, second, kernel], more);
    };
    const block = (layer: number, channels: number): void => {
      conv(`${layer}.block.1`, channels / 2, channels, 3);
      conv(`${layer}.block.3`, channels, channels / 2, 1);
      conv(`${layer}.shortcut`, channels, channels, 1);
    };
    const lstm = (layer: number, size: number): void => {
      for (const l of [0, 1]) {
        for (const from of ['ih', 'hh']) add(`${at}.${layer}.lstm.weight_${from}_l${l}`, [4 * size, size], more);
        for (const from of ['ih', 'hh']) add(`${at}.${layer}.lstm.bias_${from}_l${l}`, [4 * size], more);
      }
    };
    const widest = F * 2 ** RATIOS.length;
    if (side === 'encoder') {
      conv('0', F, 1, 7);
      RATIOS.toReversed().forEach((ratio, i) => {
        const channels = F * 2 ** i;
        block(3 * i + 1, channels);
        conv(`${3 * i + 3}`, 2 * channels, channels, 2 * ratio);
      });
      lstm(13, widest);
      conv('15', 128, widest, 7);
    } else {
      conv('0', widest, 128, 7);
      lstm(1, widest);
      RATIOS.forEach((ratio, i) => {
        const channels = widest / 2 ** (i + 1);
        conv(`${3 * i + 3}`, 2 * channels, channels, 2 * ratio, channels);
        block(3 * i + 4, channels);
      });
      conv('15', 1, F, 7);
    }
  }
  for (let q = 0; q < STORED_CODEBOOKS; q++) {
    const at = `codec_model.quantizer.layers.${q}.codebook`;
    add(`${at}.inited`, [1], { needed: false });
    add(`${at}.cluster_size`, [1024], { needed: false });
    add(`${at}.embed`, [1024, 128], { needed: q < CODEBOOKS });
    add(`${at}.embed_avg`, [1024, 128], { needed: false });
  }
}

/**
 * config.json and generation_config.json with the released values; keys that this library does not
 * read are left out.
 */
export function configs(model: ModelShape): { config: object; generation: object } {
  const { hidden_size, num_heads, num_layers, num_filters } = model;
  const gpt = (stage: keyof typeof VOCAB): object => ({
    hidden_size,
    num_heads,
    num_layers,
    block_size: BLOCK_SIZE,
    bias: false,
    input_vocab_size: VOCAB[stage][0],
    output_vocab_size: VOCAB[stage][1],
  });
  const sampling = { do_sample: true, temperature: 0.7, top_k: 50, top_p: 1.0 };
  return {
    config: {
      model_type: 'bark',
      architectures: ['BarkModel'],
      semantic_config: gpt('semantic'),
      coarse_acoustics_config: gpt('coarse_acoustics'),
      fine_acoustics_config: { ...gpt('fine_acoustics'), n_codes_total: CODEBOOKS, n_codes_given: 1 },
      codec_config: {
        model_type: 'encodec',
        target_bandwidths: [1.5, 3.0, 6.0, 12.0, 24.0],
        codebook_size: 1024,
        codebook_dim: 128,
        hidden_size: 128,
        num_filters,
      },
    },
    generation: {
      model_type: 'bark',
      codebook_size: 1024,
      sample_rate: 24000,
      semantic_config: {
        ...sampling,
        eos_token_id: 10000,
        max_new_tokens: 768,
        text_encoding_offset: 10048,
        text_pad_token: 129595,
        semantic_pad_token: 10000,
        semantic_infer_token: 129599,
        semantic_vocab_size: 10000,
        max_input_semantic_length: 256,
        semantic_rate_hz: 49.9,
      },
      coarse_acoustics_config: {
        ...sampling,
        coarse_semantic_pad_token: 12048,
        coarse_infer_token: 12050,
        coarse_rate_hz: 75,
        n_coarse_codebooks: 2,
        max_coarse_input_length: 256,
        max_coarse_history: 630,
        sliding_window_len: 60,
      },
      fine_acoustics_config: {
        temperature: 0.5,
        max_fine_history_length: 512,
        max_fine_input_length: 1024,
        n_fine_codebooks: CODEBOOKS,
      },
    },
  };
}

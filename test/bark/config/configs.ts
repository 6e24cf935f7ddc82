// The released configs, and copies of them with one key changed.

import { readFileSync } from 'node:fs';

export const root = new URL('../../../', import.meta.url);

export const shared = new URL('../shared/data/', root);

export const json = (url: URL | string, base: URL = shared) => JSON.parse(readFileSync(new URL(url, base), 'utf8'));

export type Json = Record<string, any>;

export const real = (): Json => ({
  model_type: 'bark',
  semantic_config: { input_vocab_size: 129_600, output_vocab_size: 10_048, bias: false },
  coarse_acoustics_config: { input_vocab_size: 12_096, output_vocab_size: 12_096, bias: false },
  fine_acoustics_config: { input_vocab_size: 1056, output_vocab_size: 1056, bias: false },
  codec_config: {},
});

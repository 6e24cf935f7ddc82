// A model's folder in memory: config files, and a model.safetensors of the released shapes whose
// values are computed while they are read. The library loads it like any other folder, so its own
// code is timed and no disk. Its speech is noise. For short runs it can have fewer layers than the
// released model; all other sizes stay.

import { openPretrained } from '../../bark/pretrained/pretrained.ts';
import type { BarkConfig } from '../../bark/config/config.ts';
import type { BarkGenerationConfig } from '../../bark/config/generation_config.ts';
import { missingFile } from '../../runtime/files/bytes.ts';
import { openModelSource } from '../../runtime/sources/open_source.ts';
import { walkWeights, type Weights } from '../../runtime/formats/weights.ts';
import type { BenchOptions } from '../measure/harness.ts';
import { configs, inventory, isModelName, MODELS, type ModelShape } from './inventory.ts';
import { safetensorsLayout, scaleOf } from './make_checkpoint.ts';
import { series, type Series } from './values.ts';
import type { ByteSource, ModelSource } from '../../runtime/files/model_source.ts';

/** The folder of a model of this shape, f16. */
export function syntheticSource(shape: ModelShape, label = 'synthetic model'): ModelSource {
  const { config, generation } = configs(shape);
  const files = new Map<string, () => ByteSource>([
    ['config.json', () => textBytes(config, `${label}/config.json`)],
    ['generation_config.json', () => textBytes(generation, `${label}/generation_config.json`)],
    ['model.safetensors', () => weightBytes(shape, `${label}/model.safetensors`)],
  ]);
  return {
    label,
    has: async (path) => files.has(path),
    async open(path) {
      const file = files.get(path);
      if (!file) throw missingFile(label, path);
      return file();
    },
  };
}

function textBytes(value: object, label: string): ByteSource {
  const bytes = new TextEncoder().encode(JSON.stringify(value));
  return { label, size: bytes.length, read: async (start, end) => bytes.slice(start, end), close: async () => {} };
}

function weightBytes(shape: ModelShape, label: string): ByteSource {
  const tensors = inventory(shape).filter((t) => t.needed && !t.tied);
  const byName = new Map(tensors.map((t, i) => [t.name, { ...t, phase: 7919 * i }]));
  const { segments, size } = safetensorsLayout(tensors, 'f16');
  let at = 0;
  const placed = segments.map((segment) => {
    const start = at;
    if ('bytes' in segment) {
      at += segment.bytes.length;
      return { start, end: at, bytes: segment.bytes };
    }
    if (!('storage' in segment)) throw new Error('safetensors: got a segment of sums, expected none.');
    at += segment.size;
    const t = byName.get(segment.storage)!;
    const { scale, offset } = scaleOf(t);
    return { start, end: at, values: series(t.phase, scale, offset) };
  }) as { start: number; end: number; bytes?: Uint8Array; values?: Series }[];
  const fill = (target: Uint8Array, start: number): void => {
    const end = start + target.length;
    for (const segment of placed) {
      if (segment.end <= start || segment.start >= end) continue;
      const from = Math.max(start, segment.start);
      const into = target.subarray(from - start, Math.min(end, segment.end) - start);
      if (segment.bytes) into.set(segment.bytes.subarray(from - segment.start, from - segment.start + into.length));
      else segment.values!.copy('f16', into, from - segment.start);
    }
  };
  return {
    label,
    size,
    async read(start, end) {
      const bytes = new Uint8Array(end - start);
      fill(bytes, start);
      return bytes;
    },
    async readInto(target, start) {
      fill(target, start);
    },
    close: async () => {},
  };
}

/** A model to measure. */
export interface BenchModel {
  readonly source: ModelSource;
  readonly layers: number;
  readonly config: BarkConfig;
  readonly generation: BarkGenerationConfig;
  readonly weights: Weights;
  close(): Promise<void>;
}

/**
 * The model that the options name; with `quick` it has at most `layers` layers where it is made on
 * the fly.
 */
export async function openBenchModel({ model, quick }: BenchOptions, layers: number): Promise<BenchModel> {
  const shape = isModelName(model) ? MODELS[model] : undefined;
  return openSynthetic(
    shape
      ? syntheticSource({ ...shape, num_layers: quick ? Math.min(layers, shape.num_layers) : shape.num_layers })
      : await openModelSource(model),
  );
}

export async function openSynthetic(source: ModelSource): Promise<BenchModel> {
  const { config, generation_config, openWeights, close } = await openPretrained(source);
  const weights = walkWeights(await openWeights());
  return {
    source,
    config,
    generation: generation_config,
    weights,
    layers: config.semantic_config.num_layers,
    close: async () => {
      await weights.checkpoint.close();
      await close();
    },
  };
}

// Makes a checkpoint folder of the released models' exact shapes with arbitrary, deterministic
// weights: for timing, for memory, and to show that full-size models load and run. Its speech is
// noise.
// Never commit what it writes (small: 1.7 GB, large: 4.5 GB).
// `torch` is the format of the releases: pytorch_model.bin with every tensor, attention masks and
// the codec's encoder included, f32. `safetensors` has what a model that speaks needs, in f32 or
// f16.
//
//   node --import tsx bench/model/make_checkpoint.ts small|large|tiny DIR [torch|f32|f16]

import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { crc32 } from 'node:zlib';
import { float32ToFloat16 } from '../../runtime/base/half.ts';
import {
  BLOCK_SIZE,
  byteLength,
  configs,
  inventory,
  isModelName,
  MODELS,
  type BenchTensor,
  type ModelName,
  type ModelShape,
} from './inventory.ts';
import { torchLayout, type Segment } from './torch_writer.ts';

/** Format of the weights' file: PyTorch, or safetensors with f32 or f16 values. */
export const FORMS = ['torch', 'f32', 'f16'] as const;
export type Form = (typeof FORMS)[number];

/** The file that the weights are in. */
export const weightsFile = (form: Form): string => (form === 'torch' ? 'pytorch_model.bin' : 'model.safetensors');

interface Plan {
  readonly file: string;
  readonly size: number;
  readonly segments: readonly Segment[];
  readonly tensors: ReadonlyMap<string, BenchTensor>;
  readonly form: Form;
}

/** The layout of the weights' file; nothing is written yet. */
function plan(shape: ModelShape, form: Form): Plan {
  const all = inventory(shape).filter((t) => form === 'torch' || (t.needed && !t.tied));
  const tensors = new Map(all.map((t) => [t.name, t]));
  const layout =
    form === 'torch'
      ? torchLayout(
          all.map((t) => ({ ...t, storage: t.tied ?? t.name })),
          crc32,
        )
      : safetensorsLayout(all, form);
  return { file: weightsFile(form), tensors, form, ...layout };
}

export function safetensorsLayout(
  all: readonly BenchTensor[],
  form: 'f32' | 'f16',
): { segments: Segment[]; size: number } {
  let end = 0;
  const sizeOf = (t: BenchTensor): number => byteLength(t) / (form === 'f16' ? 2 : 1);
  const header = all.map((t) => [
    t.name,
    { dtype: form.toUpperCase(), shape: t.shape, data_offsets: [end, (end += sizeOf(t))] },
  ]);
  const text = JSON.stringify(Object.fromEntries(header));
  const json = new TextEncoder().encode(text.padEnd(Math.ceil(text.length / 8) * 8));
  const length = new Uint8Array(new BigUint64Array([BigInt(json.length)]).buffer);
  return {
    segments: [{ bytes: length }, { bytes: json }, ...all.map((t) => ({ storage: t.name, size: sizeOf(t) }))],
    size: 8 + json.length + end,
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

/** Scale and offset of a tensor's values, such that activations of random layers stay near 1. */
export function scaleOf({ name, shape }: BenchTensor): { scale: number; offset: number } {
  if (/layernorm.*weight$/.test(name) || name.endsWith('weight_g')) return { scale: 0.1, offset: 1 };
  if (name.endsWith('bias')) return { scale: 0.02, offset: 0 };
  if (name.includes('embed')) return { scale: 0.2, offset: 0 };
  return { scale: 1 / Math.sqrt(shape.slice(1).reduce((a, b) => a * b, 1)), offset: 0 };
}

/**
 * Returns a function that passes `size` bytes of a tensor to `sink` in pieces. Each tensor
 * continues in the block where the last one ended, so the order of the calls determines the values.
 */
function filler(form: Form): (tensor: BenchTensor, size: number, sink: (bytes: Uint8Array) => void) => void {
  const values = block();
  const width = form === 'f16' ? 2 : 4;
  // A mask lets position i see 0 … i.
  const mask = Uint8Array.from({ length: BLOCK_SIZE ** 2 }, (_, i) =>
    i % BLOCK_SIZE <= Math.floor(i / BLOCK_SIZE) ? 1 : 0,
  );
  let at = 0;
  return (tensor, size, sink) => {
    if (tensor.dtype === 'BOOL') return sink(mask);
    const { scale, offset } = scaleOf(tensor);
    const scaled = values.map((v) => v * scale + offset);
    const bytes = new Uint8Array((form === 'f16' ? float32ToFloat16(scaled) : scaled).buffer);
    for (let left = size; left > 0;) {
      const from = width * at;
      const n = Math.min(left, bytes.length - from);
      sink(bytes.subarray(from, from + n));
      left -= n;
      at = (at + n / width + 7919) % BLOCK; // a prime step: neighbouring rows are not alike
    }
  };
}

function writeWeights({ file, segments, tensors, form }: Plan, dir: string): void {
  const out = openSync(join(dir, file), 'w');
  try {
    const fill = filler(form);
    const crcs = new Map<string, number>();
    for (const segment of segments) {
      if ('bytes' in segment) writeSync(out, segment.bytes);
      else if ('withCrcs' in segment) writeSync(out, segment.withCrcs(crcs));
      else {
        let crc = 0;
        fill(tensors.get(segment.storage)!, segment.size, (bytes) => {
          writeSync(out, bytes);
          if (form === 'torch') crc = crc32(bytes, crc);
        });
        crcs.set(segment.storage, crc);
      }
    }
  } finally {
    closeSync(out);
  }
}

function writeFolder(shape: ModelShape, dir: string, planned: Plan): void {
  mkdirSync(dir, { recursive: true });
  const { config, generation } = configs(shape);
  writeFileSync(join(dir, 'config.json'), JSON.stringify(config, null, 2));
  writeFileSync(join(dir, 'generation_config.json'), JSON.stringify(generation, null, 2));
  writeFileSync(
    join(dir, 'vocab.txt'),
    [
      '[PAD]',
      ...Array.from({ length: 99 }, (_, i) => `[unused${i + 1}]`),
      '[UNK]',
      '[CLS]',
      '[SEP]',
      '[MASK]',
      'hello',
      'there',
      '.',
      ',',
    ].join('\n'),
  );
  writeWeights(planned, dir);
}

/** Writes a checkpoint into `dir`. */
export function makeCheckpoint(model: ModelName, dir: string, form: Form = 'f32'): void {
  writeFolder(MODELS[model], dir, plan(MODELS[model], form));
}

/** Where checkpoints are kept between runs. */
export const CACHE = join(tmpdir(), 'bark-webgpu-bench');

/**
 * The folder of a checkpoint with `layers` layers. It is made if there is none of the right size,
 * in a temporary folder that is renamed when it is complete.
 */
export function cachedCheckpoint(
  model: ModelName,
  form: Form,
  cache: string = CACHE,
  layers: number = MODELS[model].num_layers,
): string {
  const shape = { ...MODELS[model], num_layers: layers };
  const dir = join(cache, layers === MODELS[model].num_layers ? `${model}-${form}` : `${model}-${form}-${layers}`);
  const planned = plan(shape, form);
  const file = join(dir, planned.file);
  if (existsSync(file) && statSync(file).size === planned.size) return dir;
  const temporary = `${dir}.${process.pid}.tmp`;
  try {
    writeFolder(shape, temporary, planned);
    rmSync(dir, { recursive: true, force: true });
    renameSync(temporary, dir);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
  return dir;
}

// In the package this code is part of a bundle with another name, where it must not run.
if (process.argv[1] === fileURLToPath(import.meta.url) && process.argv[1].endsWith('make_checkpoint.ts')) {
  const [model = '', dir, form = 'f32'] = process.argv.slice(2);
  if (!isModelName(model) || !dir || !FORMS.includes(form as Form)) {
    console.error(`usage: make_checkpoint.ts ${Object.keys(MODELS).join('|')} DIR [${FORMS.join('|')}]`);
    process.exit(2);
  }
  makeCheckpoint(model, dir, form as Form);
}

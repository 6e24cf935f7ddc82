// The peers on this machine: ONNX Runtime's providers with each variant of the graphs, which are
// exported when first needed, and transformers in each of its forms.

import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { command, installOrt, ORT_VERSION } from './install.ts';
import {
  CODEC_FRAMES,
  FLAWED_TOLERANCE,
  TOLERANCE,
  worker,
  type DType,
  type Operation,
  type PeerDType,
  type Variant,
  type Work,
  type Worker,
  type Task,
} from './work.ts';
import type { BackendKind } from '../../runtime/compute/backend.ts';
import type { BenchOptions } from '../measure/harness.ts';

export interface Candidate {
  readonly name: string;
  readonly dtype: PeerDType;
  /** Whether it can be skipped. */
  passes?(operation: Operation, software: boolean): boolean;
  /** Allowed distance from the reference; default: `TOLERANCE` of its dtype. */
  tolerance?(operation: Operation, software: boolean): number;
  start(operation: Operation): Promise<Worker>;
}

export type Note = (text: string) => void;

export const PEERS = ['ort', 'ort-wasm', 'torch'] as const;
export type Peer = (typeof PEERS)[number];

const FORMS = ['eager', 'compiled'] as const;
const DTYPES = ['float32', 'float16', 'bfloat16'] as const;
type TorchForm = `${(typeof FORMS)[number]}-${PeerDType}`;
/** What is run of transformers: as it comes, or compiled, with its weights in one of three types. */
export const TORCH_FORMS: readonly TorchForm[] = FORMS.flatMap((form) =>
  DTYPES.map((dtype) => `${form}-${dtype}` as const),
);

/** With what was not given chosen as the library does. */
export interface Chosen extends PeersOptions {
  readonly backend: BackendKind;
  readonly threads: number;
}

export interface PeersOptions extends BenchOptions {
  /** Default: the model's, with `quick` 2. */
  readonly layers?: number | undefined;
  /** Default: `ort` and `torch`; beside our `wasm` what computes on the same cores. */
  readonly only?: readonly Peer[] | undefined;
  /** Default: all, with `quick` no prefill887. */
  readonly operations?: readonly Task[] | undefined;
  /** Semantic tokens of a sentence; default 64, with `wasm` 250, with `quick` 16. */
  readonly tokens?: number | undefined;
  /** Runs, and so times, one side alone. */
  readonly side?: 'ours' | 'peers' | undefined;
  /** Forms of transformers; default: all, with `quick` the first. */
  readonly forms?: readonly TorchForm[] | undefined;
  /** What one call of a peer may take; default 300, with `quick` 60. */
  readonly seconds?: number | undefined;
}

export const limitOf = ({ seconds, quick }: PeersOptions): number => seconds ?? (quick ? 60 : 300);

/** A folder with the weights and the reference's results. */
export async function prepare(
  python: string,
  model: string,
  layers: number,
  cache: string,
  note: Note,
): Promise<string> {
  const folder = join(cache, 'peers', `${model}-${layers}`);
  if (existsSync(join(folder, 'weights', 'model.safetensors'))) return folder;
  note(`peers: making weights and reference results, ${model}, ${layers} layers`);
  await exportInto(folder, python, ['weights'], [model, `${layers}`]);
  return folder;
}

/** The same for the codec, which is one for all models. */
export async function prepareCodec(python: string, cache: string, note: Note): Promise<string> {
  const folder = join(cache, 'peers', `codec-${CODEC_FRAMES}`);
  if (existsSync(join(folder, 'weights', 'model.safetensors'))) return folder;
  note('peers: making weights and reference results, codec');
  await exportInto(folder, python, ['codec'], [`${CODEC_FRAMES}`]);
  return folder;
}

/** Runs export.py into `folder`; if it fails, nothing is left there. */
async function exportInto(
  folder: string,
  python: string,
  [what]: [string],
  args: readonly string[],
  part = '',
): Promise<void> {
  const temporary = `${folder}.${process.pid}.tmp`;
  try {
    await command(`export.py ${what}`, python, [
      '-W',
      'ignore',
      join(import.meta.dirname, 'export.py'),
      what,
      temporary,
      ...args,
    ]);
    mkdirSync(folder, { recursive: true });
    for (const name of part ? [part] : ['reference', 'weights']) {
      rmSync(join(folder, name), { recursive: true, force: true });
      renameSync(join(temporary, name), join(folder, name));
    }
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

/**
 * A provider of ONNX Runtime with each variant of the graphs; a graph is exported when it is first
 * needed. There is none of the codec.
 */
export async function ortCandidates(
  provider: 'webgpu' | 'wasm',
  work: Work,
  python: string,
  options: Chosen,
  note: Note,
): Promise<Candidate[]> {
  const { model, quick, dir } = options;
  const packages = await installOrt(provider === 'wasm' ? 'onnxruntime-web' : 'onnxruntime-node', note, dir);
  const variants: Variant[] = (['fused', 'exported'] as const).flatMap((form) =>
    (['float32', 'float16'] as const).map((dtype) => ({ form, dtype })),
  );
  const quickVariants = variants.filter(({ form, dtype }) =>
    provider === 'wasm' ? dtype === 'float32' : form === 'fused',
  );
  return (quick ? quickVariants : variants).map((variant) => ({
    name: `onnxruntime-${provider} ${ORT_VERSION} ${variant.form} ${variant.dtype}`,
    dtype: variant.dtype,
    // A quick run on a software adapter skips what never won there: float32 for the decode step,
    // float16 for everything else.
    passes: (operation, software) =>
      operation === 'codec' ||
      (provider === 'webgpu' && quick && software && (operation === 'decode') === (variant.dtype === 'float32')),
    tolerance: (operation, software) =>
      provider === 'webgpu' && variant.form === 'fused' && software && operation !== 'decode'
        ? Math.max(FLAWED_TOLERANCE, TOLERANCE[variant.dtype])
        : TOLERANCE[variant.dtype],
    async start(operation) {
      const kind = operation === 'fine' ? 'fine' : 'causal';
      const part = `${variant.form}-${variant.dtype}`;
      const graphs = join(work.folder, `graphs-${kind}`);
      if (!existsSync(join(graphs, part))) {
        note(`peers: exporting ${kind}, ${variant.form}, ${variant.dtype}`);
        await exportInto(graphs, python, ['graph'], [model, `${work.layers}`, kind, variant.form, variant.dtype], part);
      }
      const { threads } = options;
      return worker('ort_child.ts', { ...work, packages, variant, provider, threads }, { seconds: limitOf(options) });
    },
  }));
}

export interface TorchVariant {
  readonly name: string;
  readonly variant: string;
  readonly dtype: PeerDType;
  /** Of the processor, which it is to use even if there is a GPU; null where it uses that. */
  readonly threads: number | null;
}

/** What the Python children are told of how to run. */
export const torchInput = ({ variant, dtype, threads }: TorchVariant) => ({
  variant,
  dtype,
  ...(threads !== null && { threads, cpu: true }),
});

/**
 * transformers in its forms, on a GPU where there is one and ours is not `wasm`. There bfloat16 is
 * as fast as float16; on a processor one of them may be many times slower than the other.
 */
export async function torchVariants(python: string, options: Chosen): Promise<TorchVariant[]> {
  const { quick, backend, forms } = options;
  const [version, cuda] = (
    await command('asking for torch', python, [
      '-c',
      'import torch, transformers; print(transformers.__version__, torch.cuda.is_available())',
    ])
  )
    .trim()
    .split(' ');
  const onGpu = cuda === 'True' && backend !== 'wasm';
  const dtypes: readonly PeerDType[] = onGpu
    ? (['float16', 'float32'] satisfies DType[])
    : quick
      ? ['float32']
      : DTYPES;
  const chosen =
    forms ??
    (quick ? (['eager'] as const) : FORMS).flatMap((form) => dtypes.map((dtype) => `${form}-${dtype}` as const));
  return chosen.map((form) => {
    const [variant, dtype] = form.split('-') as [string, PeerDType];
    return {
      name: `transformers ${version} ${variant} ${dtype} ${onGpu ? 'CUDA' : 'CPU'}`,
      dtype,
      variant,
      threads: onGpu ? null : options.threads,
    };
  });
}

/** The forms as candidates, each of which is a row of its own. */
export const torchCandidates = (
  variants: readonly TorchVariant[],
  work: Work,
  python: string,
  options: PeersOptions,
): Candidate[] =>
  variants.map((form) => ({
    name: form.name,
    dtype: form.dtype,
    start: async () =>
      worker('torch_child.py', { ...work, ...torchInput(form) }, { python, seconds: limitOf(options) }),
  }));

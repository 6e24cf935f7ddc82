// The peers on this machine: ONNX Runtime with each variant of the graphs, which are exported when
// first needed, and transformers, eager and compiled.

import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { TorchVariant } from './generate.ts';
import { command, installOrt, ORT_VERSION } from './install.ts';
import {
  FLAWED_TOLERANCE,
  TOLERANCE,
  worker,
  type DType,
  type Operation,
  type Variant,
  type Work,
  type Worker,
  type Task,
} from './work.ts';
import type { BenchOptions } from '../measure/harness.ts';

export interface Candidate {
  readonly name: string;
  readonly dtype: DType;
  /** Whether it can be skipped. */
  passes?(operation: Operation, software: boolean): boolean;
  /** Allowed distance from the reference; default: `TOLERANCE` of its dtype. */
  tolerance?(operation: Operation, software: boolean): number;
  start(operation: Operation): Promise<Worker>;
}

export type Note = (text: string) => void;

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

/** ONNX Runtime with each variant of the graphs; a graph is exported when it is first needed. */
export async function ortCandidates(
  work: Work,
  python: string,
  { model, quick, dir }: PeersOptions,
  note: Note,
): Promise<Candidate[]> {
  const packages = await installOrt(note, dir);
  const variants: Variant[] = (['fused', 'exported'] as const).flatMap((form) =>
    (['float32', 'float16'] as const).map((dtype) => ({ form, dtype })),
  );
  return variants.slice(0, quick ? 2 : 4).map((variant) => ({
    name: `onnxruntime-webgpu ${ORT_VERSION} ${variant.form} ${variant.dtype}`,
    dtype: variant.dtype,
    // A quick run on a software adapter skips what never won there: float32 for the decode step,
    // float16 for everything else.
    passes: (operation, software) => quick && software && (operation === 'decode') === (variant.dtype === 'float32'),
    tolerance: (operation, software) =>
      variant.form === 'fused' && software && operation !== 'decode'
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
      return worker('ort_child.ts', { ...work, packages, variant });
    },
  }));
}

/** transformers, as it is and compiled; in float16 only where there is a GPU for it. */
export async function torchVariants(python: string, quick: boolean): Promise<TorchVariant[]> {
  const [version, cuda] = (
    await command('asking for torch', python, [
      '-c',
      'import torch, transformers; print(transformers.__version__, torch.cuda.is_available())',
    ])
  )
    .trim()
    .split(' ');
  const onGpu = cuda === 'True';
  const dtypes: readonly DType[] = onGpu ? ['float16', 'float32'] : ['float32'];
  return dtypes.flatMap((dtype) =>
    (quick ? ['eager'] : ['eager', 'compiled']).map((variant) => ({
      name: `transformers ${version} ${variant} ${dtype} ${onGpu ? 'CUDA' : 'CPU'}`,
      dtype,
      variant,
    })),
  );
}

export interface PeersOptions extends BenchOptions {
  /** Default: the model's, with `quick` 2. */
  readonly layers?: number | undefined;
  /** Default: both. */
  readonly only?: readonly Peer[] | undefined;
  /** Default: all, with `quick` no prefill887. */
  readonly operations?: readonly Task[] | undefined;
  /** Semantic tokens of a sentence; default 64, with `quick` 16. */
  readonly tokens?: number | undefined;
}

export const PEERS = ['ort', 'torch'] as const;

export type Peer = (typeof PEERS)[number];

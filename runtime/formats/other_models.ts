// What a folder holds where no model was found in it: weights of another engine, told by their
// content, or a model one folder further down. Only places that can be listed tell: folders on disk
// and files by name.

import { kindAdvice, kindName, kindOf, type FileKind } from '../files/file_kind.ts';
import type { ModelSource, OpenOptions } from '../files/model_source.ts';

const OTHER_ENGINES: readonly FileKind[] = ['gguf', 'ggml', 'onnx', 'hdf5'];
const BY_NAME: readonly (readonly [RegExp, FileKind])[] = [
  [/\.gguf$/i, 'gguf'],
  [/(?:^|\/)ggml[^/]*\.bin$/i, 'ggml'],
  [/\.onnx$/i, 'onnx'],
  [/\.h5$/i, 'hdf5'],
];
const MOST_LOOKED_AT = 50; // files

export interface Found {
  /** Completes 'got …'. */
  readonly got: string;
  readonly advice: string;
}

/** Weights of another engine in the folder; undefined where none are seen. */
export async function otherEngine(source: ModelSource, options?: OpenOptions): Promise<Found | undefined> {
  const names = await listed(source);
  const likely = (name: string) => Number(BY_NAME.some(([pattern]) => pattern.test(name)));
  for (const name of names.toSorted((a, b) => likely(b) - likely(a)).slice(0, MOST_LOOKED_AT)) {
    const kind = (await kindAt(source, name, options)) ?? BY_NAME.find(([pattern]) => pattern.test(name))?.[1];
    if (kind && OTHER_ENGINES.includes(kind))
      return { got: `${kindName(kind)} (${JSON.stringify(name)})`, advice: kindAdvice(kind) };
  }
  return undefined;
}

/** A folder inside this one that has one of the files `wanted`; undefined where none is seen. */
export async function modelInside(source: ModelSource, wanted: readonly string[]): Promise<Found | undefined> {
  const parts = (await listed(source)).map((name) => name.split('/'));
  const found = parts.filter((path) => path.length > 1 && wanted.includes(path.at(-1)!));
  const [first] = found.toSorted((a, b) => a.length - b.length);
  if (!first) return undefined;
  const folder = first.slice(0, -1).join('/');
  return {
    got: `a folder whose model lies in ${JSON.stringify(folder)}`,
    advice: `Pass ${source.label}/${folder}.`,
  };
}

const listed = async (source: ModelSource): Promise<string[]> => (await source.names?.().catch(() => [])) ?? [];

async function kindAt(source: ModelSource, name: string, options?: OpenOptions): Promise<FileKind | undefined> {
  try {
    const file = await source.open(name, options);
    try {
      return await kindOf(file);
    } finally {
      await file.close();
    }
  } catch {
    return undefined; // it is not what is asked about
  }
}

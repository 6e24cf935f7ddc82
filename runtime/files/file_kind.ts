// What a file is that is not what its name says: told by how it begins, with what to do about it.
// Files go wrong in the same few ways whatever reads them: Git keeps a pointer in their place, a
// server sends a page, a browser packs or unpacks them, a program of another kind wrote them.

import type { ByteSource } from './model_source.ts';

const KINDS = [
  'empty', 'lfs', 'page', 'zip', 'gzip', 'rar', '7z', 'tar', 'gguf', 'ggml', 'onnx', 'hdf5', 'safetensors',
  'npy', 'audio', 'json',
] as const; // prettier-ignore

export type FileKind = (typeof KINDS)[number];

interface About {
  /** Completes 'got …'. */
  readonly is: string;
  readonly advice: string;
}

/** The bytes of a file's beginning that `fileKind` looks at. */
export const HEAD = 512;

const OTHER_ENGINE = 'This library reads safetensors and PyTorch files: use the model that it was converted from.';
const UNPACK = 'Unpack it, and pass what is in it.';

const ABOUT: Readonly<Record<FileKind, About>> = {
  empty: { is: 'an empty file', advice: 'Fetch it again.' },
  lfs: { is: 'a Git LFS pointer', advice: 'Run: git lfs pull' },
  page: {
    is: 'a web page',
    advice: 'Fetch it again; the address may be that of a page about the file, or ask for a login.',
  },
  zip: { is: 'a zip archive', advice: UNPACK },
  gzip: { is: 'a gzip file', advice: 'Unpack it with gunzip.' },
  rar: { is: 'a RAR archive', advice: UNPACK },
  '7z': { is: 'a 7-Zip archive', advice: UNPACK },
  tar: { is: 'a tar archive', advice: UNPACK },
  gguf: { is: 'GGUF weights, of llama.cpp and its kin', advice: OTHER_ENGINE },
  ggml: { is: 'GGML weights, of bark.cpp', advice: OTHER_ENGINE },
  onnx: { is: 'an ONNX graph', advice: OTHER_ENGINE },
  hdf5: { is: 'an HDF5 file', advice: 'Are these weights of another framework?' },
  safetensors: { is: 'a safetensors file', advice: 'Name it model.safetensors.' },
  npy: { is: 'a NumPy array', advice: 'Is this the right file?' },
  audio: { is: 'a sound file', advice: 'Is this the right file?' },
  json: { is: 'JSON', advice: 'Is this the right file?' },
};

/** What a file is by its first bytes; undefined where they say nothing. */
export function fileKind(head: Uint8Array): FileKind | undefined {
  const text = String.fromCharCode(...head.subarray(0, HEAD));
  if (text === '') return 'empty';
  if (text.startsWith('version https://git-lfs')) return 'lfs';
  if (/^(?:\xef\xbb\xbf)?\s*<(?:!|\?xml|(?:html|head|body|meta|title|script|error)\b)/i.test(text)) return 'page';
  if (/^PK(?:\x03\x04|\x05\x06)/.test(text)) return 'zip';
  if (text.startsWith('\x1f\x8b')) return 'gzip';
  if (text.startsWith('Rar!')) return 'rar';
  if (text.startsWith('7z\xbc\xaf')) return '7z';
  if (text.slice(257, 262) === 'ustar') return 'tar';
  if (text.startsWith('GGUF')) return 'gguf';
  // 'ggml', 'ggmf' and 'ggjt' as little-endian numbers
  if (/^(?:lmgg|fmgg|tjgg)/.test(text)) return 'ggml';
  // No magic number: its version of at most 20, then the name of who made it, or another field.
  if (/^\x08[\x01-\x14][\x12\x1a\x22\x28\x32\x3a\x42]/.test(text)) return 'onnx';
  if (text.startsWith('\x89HDF')) return 'hdf5';
  if (/^[^]{8}\{["}\s]/.test(text)) return 'safetensors';
  if (text.startsWith('\x93NUMPY')) return 'npy';
  if (/^(?:RIFF[^]{4}WAVE|fLaC|OggS|ID3|\xff[\xfb\xf3\xf2]|[^]{4}ftyp)/.test(text)) return 'audio';
  if (/^(?:\xef\xbb\xbf)?\s*[{[]/.test(text)) return 'json';
  return undefined;
}

/** The kind of a file that is open, which stays so. */
export const kindOf = async (bytes: ByteSource): Promise<FileKind | undefined> =>
  fileKind(await bytes.read(0, Math.min(HEAD, bytes.size)));

/** What to call a kind after 'got'. */
export const kindName = (kind: FileKind): string => ABOUT[kind].is;

/** What to do about it. */
export const kindAdvice = (kind: FileKind): string => ABOUT[kind].advice;

/**
 * 'a web page, expected …. Fetch it again …': the rest of a message that begins with '<file>: got'.
 * `advice` is for who knows better than this list.
 */
export function foreignFile(kind: FileKind, expected: string, advice = kindAdvice(kind)): string {
  return `${kindName(kind)}, expected ${kind === 'lfs' ? 'the file itself' : expected}. ${advice}`;
}

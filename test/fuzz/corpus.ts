// The good files that mutants are made of, by format: committed fixtures (which Python wrote) and
// files built here by hand, each with the places where its parts begin. None comes from the
// library's own writers but `written`, which is there to be read back.

import { readFileSync } from 'node:fs';
import { bytesOf, dict, int, list, little, pickle, unicode } from './pickle_code.ts';
import { zipOf } from './zip_code.ts';
import { fixture, demo, texts, type Corpus } from './corpus_parts.ts';
import { JSON_TOKENS, safetensorsCorpus, jsonCorpus } from './corpus_safetensors.ts';
import { npySample, npyFiles, NPY_TOKENS, zipSample, ZIP_TOKENS, npzFiles } from './corpus_arrays.ts';
import {
  STORAGES,
  objects,
  pickleSample,
  torchZipSample,
  PICKLE_TOKENS,
  code,
  torchFixtures,
  stateDict,
} from './corpus_torch.ts';
// Safetensors.
// JSON files: the parts are between all punctuation.
// NumPy.
// Zip archives.
// PyTorch: pickles, zip files, the format before zip.

/** As torch.save writes it: one folder, storages aligned by padding. */
export function torchZip(
  data: Uint8Array,
  { deflate = false, zip64 = false, root = 'archive' } = {},
): Uint8Array<ArrayBuffer> {
  const storages = STORAGES.map(([key, bytes]) => ({
    name: `${root}/data/${key}`,
    data: bytes,
    pad: 13,
    zip64,
    deflate,
  }));
  return zipOf(
    [
      { name: `${root}/data.pkl`, data, deflate, zip64 },
      { name: `${root}/byteorder`, data: bytesOf('little') },
      ...storages,
      { name: `${root}/version`, data: bytesOf('3\n') },
    ],
    { zip64End: zip64 },
  );
}

/** The format before PyTorch 1.6: five pickles, then the storages, each behind its count. */
export function torchLegacy(data: Uint8Array): Uint8Array<ArrayBuffer> {
  const magic = pickle(bytesOf(0x8a, 10, [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19]));
  const system = pickle(
    dict({
      protocol_version: int(1001),
      little_endian: bytesOf(0x88),
      type_sizes: dict({ short: int(2), int: int(4), long: int(4) }),
    }),
  );
  const keys = pickle(list(...STORAGES.map(([key]) => unicode(key))));
  return bytesOf(
    magic,
    pickle(bytesOf('M', little(1001, 2))),
    system,
    data,
    keys,
    ...STORAGES.map(([, bytes, each]) => bytesOf(little(bytes.length / each, 8), bytes)),
  );
}

const build: Readonly<Record<string, () => Corpus | Promise<Corpus>>> = {
  safetensors: safetensorsCorpus,
  index: () => ({ ...jsonCorpus(['index', readFileSync(fixture('safetensors/sharded/model.safetensors.index.json'))]), tokens: [...JSON_TOKENS, ...texts('"model-00001-of-00003.safetensors"', '"../x"', '"/etc/passwd"', '"weight_map"')] }),
  npy: () => ({ samples: npyFiles().map(npySample), tokens: NPY_TOKENS }),
  npz: async () => ({ samples: (await npzFiles()).map(zipSample), tokens: [...ZIP_TOKENS, ...NPY_TOKENS] }),
  voice: async () => ({ samples: (await npzFiles()).map(zipSample), tokens: ZIP_TOKENS }),
  checkpoint: () => ({ samples: [...safetensorsCorpus().samples, torchZipSample({ name: 'torch', bytes: torchZip(code('state dict')) })], tokens: JSON_TOKENS }),
  zip: async () => ({ samples: [...(await npzFiles()), { name: 'torch', bytes: torchZip(code('state dict')) }, { name: 'torch deflated', bytes: torchZip(code('state dict'), { deflate: true }) }].map(zipSample), tokens: ZIP_TOKENS }),
  pickle: () => ({ samples: objects.map(([name, bytes]) => pickleSample(name, bytes)), tokens: PICKLE_TOKENS }),
  torch: () => ({
    samples: [
      ...torchFixtures('zip'),       { name: 'deflated', bytes: torchZip(code('state dict'), { deflate: true }) }, { name: 'zip64', bytes: torchZip(code('state dict'), { zip64: true, root: 'a b' }) },
    ].map(torchZipSample).concat(['state dict', 'module', 'protocol 4'].map((name) => ({
      ...torchZipSample({ name, bytes: torchZip(code(name)) }),
      inner: { sample: pickleSample(name, code(name)), pack: (bytes: Uint8Array) => torchZip(bytes) },
    }))),
    tokens: [...PICKLE_TOKENS, ...ZIP_TOKENS],
  }),
  legacy: () => ({
    samples: [...torchFixtures('legacy'), { name: 'legacy', bytes: torchLegacy(pickle(stateDict(true))) }].map(({ name, bytes }) => pickleSample(name, bytes, 0, 5)),
    tokens: PICKLE_TOKENS,
  }),
  config: () => jsonCorpus(['config.json', demo('config.json')]),
  generation: () => jsonCorpus(['generation_config.json', demo('generation_config.json')]),
  voices: () => jsonCorpus(['speaker_embeddings_path.json', demo('speaker_embeddings_path.json')]),
  tokenizer: () => jsonCorpus(['tokenizer.json', demo('tokenizer.json')]),
}; // prettier-ignore

const built = new Map<string, Corpus>();

/** The corpus of a format, the same at each call. */
export async function corpusOf(format: string): Promise<Corpus> {
  const corpus = built.get(format) ?? (await build[format]!());
  built.set(format, corpus);
  return corpus;
}

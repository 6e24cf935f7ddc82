// The readers under test, by format. Each target takes a file's bytes and returns what is wrong
// with what it loaded, or undefined; a refusal is what it throws. Those marked as bad are for the
// test of the harness itself.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Checkpoint } from '../../runtime/formats/checkpoint.ts';
import { WeightsError } from '../../runtime/base/errors.ts';
import { parseNpy, parseNpz } from '../../runtime/formats/npy.ts';
import { unpickle } from '../../runtime/formats/pickle/pickle.ts';
import { readJson } from '../../runtime/files/read.ts';
import { openSafetensors } from '../../runtime/formats/safetensors.ts';
import { openSharded } from '../../runtime/formats/sharded.ts';
import { openModelSource } from '../../runtime/sources/open_source.ts';
import { openTorchCheckpoint } from '../../runtime/formats/torch/file.ts';
import { refusedTorchName, storageOf, torchGlobals } from '../../runtime/formats/torch/globals.ts';
import { checkpointFault, npyFault, safetensorsFault } from './oracle.ts';
import type { ByteSource, ModelSource } from '../../runtime/files/model_source.ts';
import { arraysFault, zipTarget, valueFault } from './faults.ts';
import { type CountedSource, countedSource } from './counted_source.ts';
export type Target = (bytes: Uint8Array<ArrayBuffer>) => Promise<string | undefined>;

/**
 * Opens by `open`, which owns the file from then on, and checks the checkpoint; the file must be
 * closed whatever happens.
 */
async function checkpointTarget(
  bytes: Uint8Array,
  open: (source: ByteSource) => Promise<Checkpoint>,
  more?: (checkpoint: Checkpoint) => Promise<string | undefined>,
): Promise<string | undefined> {
  const source = countedSource(bytes);
  let checkpoint: Checkpoint;
  try {
    checkpoint = await open(source);
  } catch (error) {
    return source.closed ? Promise.reject(error) : `it refuses the file and leaves it open: ${error}`;
  }
  let fault: string | undefined;
  try {
    fault = (await checkpointFault(checkpoint, bytes.length)) ?? (await more?.(checkpoint));
  } finally {
    await checkpoint.close();
  }
  return fault ?? (source.closed ? undefined : 'its close() leaves the file open');
}

const shardFolder = new URL('../fixtures/safetensors/sharded/', import.meta.url);
const SHARDS = [1, 2, 3].map((n) => `model-0000${n}-of-00003.safetensors`);
const shardBytes = new Map(
  SHARDS.map((name) => [name, new Uint8Array(readFileSync(fileURLToPath(new URL(name, shardFolder))))]),
);

/** A folder of these files. */
function folderOf(files: ReadonlyMap<string, Uint8Array>, opened: CountedSource[] = []): ModelSource {
  return {
    label: 'folder',
    has: async (path) => files.has(path),
    async open(path) {
      const bytes = files.get(path);
      if (!bytes) throw new WeightsError(`folder: got no file ${JSON.stringify(path)}, expected one.`);
      const source = countedSource(bytes, `folder/${path}`);
      opened.push(source);
      return source;
    },
  };
}

const blobs = (name: string, bytes: Uint8Array<ArrayBuffer>) => openModelSource(new Map([[name, new Blob([bytes])]]));
const jsonFile = (name: string, bytes: Uint8Array) => readJson(folderOf(new Map([[name, bytes]])), name);
const encoded = ['hello there', '[MASK] x \u{20000} caf\u00e9'];

export const targets: Readonly<Record<string, Target>> = {
  safetensors: (bytes) => checkpointTarget(bytes, openSafetensors, (checkpoint) => safetensorsFault(bytes, checkpoint)),
  async index(bytes) {
    const opened: CountedSource[] = [];
    const name = 'model.safetensors.index.json';
    const folder = folderOf(new Map([...shardBytes, [name, bytes]]), opened);
    try {
      const checkpoint = await openSharded(folder, await readJson(folder, name), name, openSafetensors);
      const fault = await checkpointFault(checkpoint, 2000);
      await checkpoint.close();
      if (fault) return fault;
    } finally {
      const left = opened.filter((source) => !source.closed);
      // What is left open is the fault to report, whatever else went wrong.
      // oxlint-disable-next-line no-unsafe-finally
      if (left.length) return `it leaves ${left.map(({ label }) => label).join(', ')} open`;
    }
    return undefined;
  },
  npy: async (bytes) => npyFault(bytes, parseNpy(bytes, 'file.npy')),
  npz: async (bytes) => arraysFault((await parseNpz(bytes, 'file.npz')).values()),
  async voice(bytes) {
    const { VoicePreset } = await import('../../bark/processor/voice_preset.ts');
    const voice = await VoicePreset.load(new Blob([bytes]));
    return arraysFault(
      (['semantic_prompt', 'coarse_prompt', 'fine_prompt'] as const).map((key) => ({
        data: voice[key],
        shape: [...voice.shapes[key]],
      })),
    );
  },
  async checkpoint(bytes) {
    const { openCheckpoint } = await import('../../runtime/formats/open_checkpoint.ts');
    const checkpoint = await openCheckpoint(
      await blobs(bytes[0] === 0x50 && bytes[1] === 0x4b ? 'pytorch_model.bin' : 'model.safetensors', bytes),
    );
    const fault = await checkpointFault(checkpoint, bytes.length);
    await checkpoint.close();
    return fault;
  },
  zip: zipTarget,
  async pickle(bytes) {
    const { value, end } = unpickle(bytes, {
      label: 'file.pkl',
      globals: torchGlobals,
      refused: refusedTorchName,
      persistent: storageOf,
    });
    return end > bytes.length || bytes[end - 1] !== 0x2e ? `an end at ${end}, which is no STOP` : valueFault(value);
  },
  torch: (bytes) => checkpointTarget(bytes, openTorchCheckpoint),
  legacy: (bytes) => checkpointTarget(bytes, openTorchCheckpoint),
  async config(bytes) {
    const { BarkConfig } = await import('../../bark/config/config.ts');
    BarkConfig.fromJSON(await jsonFile('config.json', bytes), 'config.json');
    return undefined;
  },
  async generation(bytes) {
    const { BarkGenerationConfig } = await import('../../bark/config/generation_config.ts');
    BarkGenerationConfig.fromJSON(await jsonFile('generation_config.json', bytes), 'generation_config.json');
    return undefined;
  },
  async voices(bytes) {
    const { readVoiceList } = await import('../../bark/processor/voice_list.ts');
    for (const [name, paths] of await readVoiceList(folderOf(new Map([['speaker_embeddings_path.json', bytes]])))) {
      if (Object.values(paths).some((path) => typeof path !== 'string')) return `${name} has a path that is no text`;
    }
    return undefined;
  },
  async tokenizer(bytes) {
    const { loadTokenizer } = await import('../../bark/processor/tokenizer.ts');
    const tokenizer = await loadTokenizer(folderOf(new Map([['tokenizer.json', bytes]])));
    for (const text of encoded)
      if (!tokenizer.encode(text).every(Number.isSafeInteger)) return `${tokenizer.encode(text).join(', ')} as ids`;
    return undefined;
  },

  'bad: untyped': async () => {
    throw new RangeError('Array buffer allocation failed');
  },
  'bad: buffer': async () => (new Uint8Array(200 * 2 ** 20).length ? undefined : 'nothing'),
  'bad: chunks': async () => {
    const held: Uint8Array[] = [];
    for (let i = 0; i < 100; i++) held.push(new Uint8Array(2 ** 20));
    return held.length ? undefined : 'nothing';
  },
  'bad: heap': async () => {
    const held: unknown[] = [];
    for (let i = 0; i < 20; i++) held.push(new Array(500_000).fill(i)); // 80 MB
    return held.length ? undefined : 'nothing';
  },
  'bad: bomb': async () => {
    let list: unknown[] = [];
    for (;;) list = [list, new Array(1000).fill(list.length)];
  },
  'bad: loop': async () => {
    for (;;);
  },
  'bad: never': () => new Promise(() => undefined),
  'bad: slow': async () => {
    for (const end = performance.now() + 1100; performance.now() < end;);
    return undefined;
  },
  'bad: write': async () => {
    const { writeFile } = await import('node:fs/promises');
    await writeFile('/nowhere/at/all', 'x').catch(() => undefined);
    throw new WeightsError('file: got x, expected y.');
  },
  'bad: eval': async () => {
    // oxlint-disable-next-line typescript/no-implied-eval -- a reader that does this must be caught
    new Function('return 1')();
    return undefined;
  },
  'bad: late': async () => {
    setTimeout(() => {
      throw new Error('later');
    });
    await new Promise((done) => setTimeout(done, 50));
    return undefined;
  },
  'bad: wrong': async () => 'other bytes',
  'bad: escapes': async () => {
    throw Object.assign(new WeightsError(''), { message: 'file: got \u001b[31m, expected y.' });
  },
  'good: refuses': async () => {
    throw new WeightsError('file: got x, expected y.');
  },
};

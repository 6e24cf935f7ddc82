// The suite `peers`: this library and other implementations of the same model, on the same
// operations, weights and inputs, and on the same cores where ours is the backend `wasm`. The
// results of every side are compared with one reference before anything is timed. Runs alternate,
// ours then the peer's, so that other work on the machine affects both. Losses are printed too.

import { threadCount } from '../../runtime/host/threads.ts';
import type { Result, Suite } from '../measure/harness.ts';
import { requestDevice } from '../measure/machine.ts';
import { isModelName, MODELS } from '../model/inventory.ts';
import { CACHE } from '../model/make_checkpoint.ts';
import {
  prepare,
  prepareCodec,
  torchVariants,
  type Chosen,
  type Note,
  type Peer,
  type PeersOptions,
} from './candidates.ts';
import { compareOperations, type Settings } from './compare.ts';
import { compareSentences } from './generate.ts';
import { installPython } from './install.ts';
import { closing, targetOf } from './targets.ts';
import { TASKS, type Operation, type Task } from './work.ts';

const QUICK = { layers: 2, fineLayers: 1, sentenceLayers: 1, tokens: 16 };
const QUICK_TASKS: readonly Task[] = ['decode', 'prefill257', 'fine', 'codec', 'generate'];
/** Semantic tokens: 64 are 1.3 s of audio, 250 are 5. */
const TOKENS = { webgpu: 64, wasm: 250 };

/** Which backend and how many threads, as the library chooses where it is not told. */
async function chosen(options: PeersOptions): Promise<Chosen> {
  const threads = options.threads ?? (await threadCount(undefined));
  if (options.backend) return { ...options, backend: options.backend, threads };
  using device = await requestDevice(options);
  return { ...options, backend: device.kind, threads };
}

async function run(given: PeersOptions, emit: (result: Result) => void, note: Note): Promise<void> {
  const options = await chosen(given);
  const { model, quick, dir = CACHE, backend } = options;
  if (!isModelName(model) || model === 'tiny')
    throw new Error(`peers: got the model ${model}, expected small or large: the peers' graphs are made, not read.`);
  const { hidden_size: width, num_heads: heads, num_layers } = MODELS[model];
  const python = await installPython(note, dir);
  const peers: readonly Peer[] = options.only ?? (backend === 'wasm' ? ['ort-wasm', 'torch'] : ['ort', 'torch']);
  const torch = peers.includes('torch') ? await torchVariants(python, options) : [];
  // On a GPU a quick run compares transformers' sentences alone, unless it is told more.
  const ofOperations = !quick || options.operations || backend === 'wasm' ? torch : [];
  const settings: Settings = { python, peers, torch: ofOperations, options: { ...options, dir } };
  const tasks = options.operations ?? (quick ? QUICK_TASKS : TASKS);
  const compare = async (folder: string, layers: number, operations: readonly Operation[]): Promise<void> =>
    compareOperations({ folder, layers, width, heads }, operations, settings, emit, note);
  for (const fine of [false, true]) {
    const of = tasks.filter(
      (task): task is Operation => task !== 'generate' && task !== 'codec' && (task === 'fine') === fine,
    );
    if (of.length === 0) continue;
    const layers = options.layers ?? (!quick ? num_layers : fine ? QUICK.fineLayers : QUICK.layers);
    await compare(await prepare(python, model, layers, dir, note), layers, of);
  }
  // The codec is the same beside every model, and has no such layers.
  if (tasks.includes('codec')) await compare(await prepareCodec(python, dir, note), 0, ['codec']);
  if (!tasks.includes('generate') || torch.length === 0) return;
  const layers = options.layers ?? (quick ? QUICK.sentenceLayers : num_layers);
  const tokens = options.tokens ?? (quick ? QUICK.tokens : TOKENS[backend]);
  await compareSentences({ model, layers, tokens, dir }, { ...settings, torch }, emit, note);
}

export const peers = {
  name: 'peers',
  about: 'other implementations on the same operations: ours | peer | ratio (above 1: ours is faster)',
  columns: [
    'operation',
    'layers',
    'variant',
    'oursMs',
    'peerMs',
    'ratio',
    'fastest',
    'oursCpuMs',
    'peerCpuMs',
    'cpuRatio',
    'runs',
    'oursRealTimeFactor',
    'peerRealTimeFactor',
    'oursError',
    'peerError',
    'equalSemantic',
    'equalCoarse',
    'equalFine',
    'audioError',
    'target',
    'met',
    'detail',
  ],
  run: (options: PeersOptions, emit: (result: Result) => void, note: Note) =>
    run(options, (result) => emit({ ...result, ...targetOf(result) }), note),
  closing,
} satisfies Suite;

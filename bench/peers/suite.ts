// The suite `peers`: this library and other implementations of the same model, on the same
// operations, weights and inputs. The logits of every side are compared with one reference before
// anything is timed. Runs alternate, ours then the peer's, so that other work on the machine
// affects both. ONNX Runtime is tried in several variants and the fastest counts. Losses are
// printed too.
import { median, rounded, type Result, type Suite } from '../measure/harness.ts';
import { whereOf, type Machine } from '../measure/machine.ts';
import { isModelName, MODELS } from '../model/inventory.ts';
import { CACHE } from '../model/make_checkpoint.ts';
import { compareSentences, type TorchVariant } from './generate.ts';
import { installPython } from './install.ts';
import { closing, targetOf } from './targets.ts';
import {
  sides,
  TASKS,
  TOLERANCE,
  worker,
  type Checked,
  type Operation,
  type Task,
  type Timed,
  type Work,
  type Worker,
} from './work.ts';
import {
  type Note,
  type Candidate,
  type PeersOptions,
  prepare,
  ortCandidates,
  torchVariants,
  PEERS,
} from './candidates.ts';
const STEPS = 8; // decode steps of one timing
const QUICK = { layers: 2, fineLayers: 1, sentenceLayers: 1, tokens: 16 };
const TOKENS = 64;

interface Probed {
  readonly candidate: Candidate;
  readonly side: Worker;
  readonly checked: Checked;
  readonly once: Timed;
}

/** Checks one candidate and times it once, or says why it cannot take part. */
async function probe(
  candidate: Candidate,
  operation: Operation,
  times: number,
  software: boolean,
  note: Note,
): Promise<Probed | undefined> {
  let side: Worker | undefined;
  try {
    side = await candidate.start(operation);
    const checked = await side.check(operation);
    const allowed = candidate.tolerance?.(operation, software) ?? TOLERANCE[candidate.dtype];
    if (!(checked.error <= allowed))
      throw new Error(
        `logits differ from the reference's by ${checked.error.toPrecision(3)}, expected at most ${allowed}`,
      );
    return { candidate, side, checked, once: await side.time(operation, times) };
  } catch (error) {
    side?.end();
    note(
      `peers: ${operation}: ${candidate.name} left out: ${(error as Error).message.split('\n').slice(0, 3).join(' ')}`,
    );
    return undefined;
  }
}

/** Ours and one peer's, in turns. */
async function compare(
  operation: Task,
  ours: Worker,
  peer: Worker,
  times: number,
  repeats: number,
): Promise<{ ours: Timed; peer: Timed }> {
  const runs: [Timed, Timed][] = [];
  for (let time = 0; time < repeats; time++)
    runs.push([await ours.time(operation, times), await peer.time(operation, times)]);
  const middle = (side: 0 | 1): Timed => ({
    ms: median(runs.map((run) => run[side].ms)),
    cpuMs: median(runs.map((run) => run[side].cpuMs)),
  });
  return { ours: middle(0), peer: middle(1) };
}

async function run(options: PeersOptions, emit: (result: Result) => void, note: Note): Promise<void> {
  const { model, quick, dtype = 'float16', only = PEERS, repeats, dir = CACHE } = options;
  if (!isModelName(model) || model === 'tiny')
    throw new Error(`peers: got the model ${model}, expected small or large: the peers' graphs are made, not read.`);
  const { hidden_size: width, num_heads: heads, num_layers } = MODELS[model];
  const python = await installPython(note, dir);
  const torch = only.includes('torch') ? await torchVariants(python, quick) : [];
  const tasks = options.operations ?? (quick ? (['decode', 'prefill257', 'fine', 'generate'] as const) : TASKS);
  const operations = tasks.filter((task): task is Operation => task !== 'generate');
  for (const fine of [false, true]) {
    const of = operations.filter((name) => (name === 'fine') === fine);
    if (of.length === 0) continue;
    const layers = options.layers ?? (!quick ? num_layers : fine ? QUICK.fineLayers : QUICK.layers);
    await compareOperations(
      { folder: await prepare(python, model, layers, dir, note), layers, width, heads },
      of,
      torch,
      python,
      options,
      emit,
      note,
    );
  }
  if (!tasks.includes('generate') || torch.length === 0) return;
  const sentences = {
    model,
    dtype,
    dir,
    backend: options.backend,
    threads: options.threads,
    layers: options.layers ?? (quick ? QUICK.sentenceLayers : num_layers),
    tokens: options.tokens ?? (quick ? QUICK.tokens : TOKENS),
  };
  // Short of time, the sentence that was compared is the one that counts: ours has only what
  // loading warmed up, which favours the peer.
  const timed = async (ours: Worker, peer: Worker, first: Timed) =>
    quick
      ? { ours: first, peer: await peer.time('generate', 1), runs: 1 }
      : { ...(await compare('generate', ours, peer, 1, repeats)), runs: repeats };
  await compareSentences(sentences, { python, variants: torch, compare: timed }, emit, note);
}

async function compareOperations(
  work: Work,
  operations: readonly Operation[],
  torch: readonly TorchVariant[],
  python: string,
  options: PeersOptions,
  emit: (result: Result) => void,
  note: Note,
): Promise<void> {
  const { model, quick, dtype = 'float16', only = PEERS, backend, threads } = options;
  // Of ONNX Runtime's forms the fastest counts; what people run of transformers is each of its
  // ways.
  const groups: Candidate[][] = [];
  for (const peer of only) {
    try {
      if (peer === 'ort') groups.push(await ortCandidates(work, python, options, note));
      else if (!quick || options.operations)
        groups.push(
          ...torch.map((way) => [
            {
              ...way,
              start: async () => worker('torch_child.py', { ...work, variant: way.variant, dtype: way.dtype }, python),
            },
          ]),
        );
    } catch (error) {
      note(`peers: ${peer} left out: ${(error as Error).message}`);
    }
  }
  const mine: Candidate = {
    name: 'ours',
    dtype,
    start: async () => worker('ours_child.ts', { ...work, dtype, backend, threads }),
  };
  for (const operation of operations) {
    const repeats = quick && operation !== 'decode' ? 1 : options.repeats;
    const times = operation === 'decode' ? STEPS : 1;
    const ours = await mine.start(operation);
    try {
      const { error, ...machine } = (await ours.check(operation)) as Checked & Machine;
      if (!(error <= TOLERANCE[dtype]))
        throw new Error(
          `${operation}: our logits differ from the reference's by ${error.toPrecision(3)}, expected at most ${TOLERANCE[dtype]}`,
        );
      const software = /llvmpipe|swiftshader/i.test(machine.adapter);
      await ours.time(operation, times);
      for (const group of groups) {
        let best: Probed | undefined;
        const others: string[] = [];
        for (const candidate of group) {
          if (candidate.passes?.(operation, software)) continue;
          const probed = await probe(candidate, operation, times, software, note);
          if (!probed) continue;
          const cost = ({ once }: Probed): number => (software ? once.cpuMs : once.ms);
          const slower = !best || cost(probed) < cost(best) ? best : probed;
          if (slower !== probed) best = probed;
          if (slower) {
            slower.side.end();
            others.push(
              `${slower.candidate.name}: ${rounded(slower.once.ms)} ms, ${rounded(slower.once.cpuMs)} ms CPU`,
            );
          }
        }
        if (!best) continue;
        try {
          const timed =
            repeats === 1
              ? { ours: await ours.time(operation, times), peer: best.once }
              : await compare(operation, ours, best.side, times, repeats);
          emit({
            suite: 'peers',
            model,
            layers: work.layers,
            ...whereOf(machine),
            dtype,
            variant: best.candidate.name,
            operation,
            ...sides(timed),
            runs: repeats,
            peerDtype: best.candidate.dtype,
            peerDevice: best.checked.device,
            peerCache: (best.checked['location'] as string | undefined) ?? null,
            oursError: Number(error.toPrecision(2)),
            peerError: Number(best.checked.error.toPrecision(2)),
            slowerForms: others.join('; ') || null,
          });
        } finally {
          best.side.end();
        }
      }
    } finally {
      ours.end();
    }
  }
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
    'oursCpuMs',
    'peerCpuMs',
    'cpuRatio',
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
  ],
  run: (options: PeersOptions, emit: (result: Result) => void, note: Note) =>
    run(options, (result) => emit({ ...result, ...targetOf(result) }), note),
  closing,
} satisfies Suite;

// Compares one operation after another: ours with each peer. What a candidate computes is compared
// with the reference before it is timed. Of ONNX Runtime's variants the fastest is a row; of
// transformers, whose users pick one, each form is, and the fastest is marked. One that fails, or
// takes longer than it may, has a row that says so.

import { rounded, type Result } from '../measure/harness.ts';
import { CPU, whereOf, type Machine } from '../measure/machine.ts';
import {
  limitOf,
  ortCandidates,
  torchCandidates,
  type Candidate,
  type Chosen,
  type Note,
  type Peer,
  type TorchVariant,
} from './candidates.ts';
import {
  inTurns,
  sides,
  TOLERANCE,
  worker,
  type Checked,
  type Compared,
  type Operation,
  type Timed,
  type Work,
  type Worker,
} from './work.ts';

const STEPS = 8; // decode steps of one timing

/** What a comparison goes by. */
export interface Settings {
  readonly python: string;
  readonly peers: readonly Peer[];
  readonly torch: readonly TorchVariant[];
  readonly options: Chosen;
}

/** A candidate that computes right, or why it takes no part. */
interface Probed {
  readonly candidate: Candidate;
  readonly side?: Worker;
  readonly checked?: Checked;
  readonly once?: Timed;
  readonly failed?: string;
}

async function probe(candidate: Candidate, operation: Operation, times: number, software: boolean): Promise<Probed> {
  let side: Worker | undefined;
  try {
    side = await candidate.start(operation);
    const checked = await side.check(operation);
    const allowed = candidate.tolerance?.(operation, software) ?? TOLERANCE[candidate.dtype];
    if (!(checked.error <= allowed))
      throw new Error(
        `results differ from the reference's by ${checked.error.toPrecision(3)}, expected at most ${allowed}`,
      );
    return { candidate, side, checked, once: await side.time(operation, times) };
  } catch (error) {
    side?.end();
    return { candidate, failed: inWords(error) };
  }
}

/** Of an error in another process, what fits a cell of a table. */
export const inWords = (error: unknown): string =>
  (error as Error).message.split('\n').slice(0, 3).join(' ').slice(0, 300);

/** Of several that computed right only the fastest goes on; `slower` has the times of the others. */
async function fastestOf(
  group: readonly Candidate[],
  operation: Operation,
  times: number,
  software: boolean,
): Promise<{ best: Probed | undefined; slower: string[]; failed: Probed[] }> {
  let best: Probed | undefined;
  const slower: string[] = [];
  const failed: Probed[] = [];
  const cost = ({ once }: Probed): number => (software ? once!.cpuMs : once!.ms);
  for (const candidate of group) {
    if (candidate.passes?.(operation, software)) continue;
    const probed = await probe(candidate, operation, times, software);
    if (probed.failed !== undefined) {
      failed.push(probed);
      continue;
    }
    const loser = !best || cost(probed) < cost(best) ? best : probed;
    if (loser !== probed) best = probed;
    loser?.side!.end();
    if (loser)
      slower.push(`${loser.candidate.name}: ${rounded(loser.once!.ms)} ms, ${rounded(loser.once!.cpuMs)} ms CPU`);
  }
  return { best, slower, failed };
}

/** Where no side of ours takes part. */
export const NO_MACHINE: Machine = { adapter: 'none', backend: 'none', threads: null, cpu: CPU };

/** Marks the fastest of the rows that were timed. */
export function withFastest(rows: readonly Result[]): Result[] {
  const least = Math.min(...rows.flatMap(({ peerMs }) => (typeof peerMs === 'number' ? [peerMs] : [])));
  return rows.map((row) => ({ ...row, fastest: row['peerMs'] === null ? null : row['peerMs'] === least }));
}

/** Our side, started and checked. */
async function startOurs(work: Work, operation: Operation, times: number, options: Chosen) {
  const { dtype = 'float16', backend, threads } = options;
  const side = worker('ours_child.ts', { ...work, dtype, backend, threads });
  try {
    const { error, ...machine } = (await side.check(operation)) as Checked & Machine;
    if (!(error <= TOLERANCE[dtype]))
      throw new Error(
        `${operation}: our results differ from the reference's by ${error.toPrecision(3)}, expected at most ${TOLERANCE[dtype]}`,
      );
    await side.time(operation, times);
    return { side, machine: whereOf(machine), error: Number(error.toPrecision(2)) };
  } catch (error) {
    side.end();
    throw error;
  }
}

/** The candidates of each row, by peer. A peer that cannot be had is noted and left out. */
async function groupsOf(work: Work, { python, peers, torch, options }: Settings, note: Note) {
  const groups: { peer: Peer; candidates: Candidate[] }[] = [];
  for (const peer of options.side === 'ours' ? [] : peers) {
    try {
      if (peer === 'torch')
        for (const candidate of torchCandidates(torch, work, python, options))
          groups.push({ peer, candidates: [candidate] });
      else {
        const candidates = await ortCandidates(peer === 'ort' ? 'webgpu' : 'wasm', work, python, options, note);
        groups.push({ peer, candidates });
      }
    } catch (error) {
      note(`peers: ${peer} left out: ${inWords(error)}`);
    }
  }
  return groups;
}

export async function compareOperations(
  work: Work,
  operations: readonly Operation[],
  settings: Settings,
  emit: (result: Result) => void,
  note: Note,
): Promise<void> {
  const { options } = settings;
  const { model, quick, dtype = 'float16', side = 'both' } = options;
  const groups = await groupsOf(work, settings, note);
  for (const operation of operations) {
    const repeats = quick && operation !== 'decode' ? 1 : options.repeats;
    const times = operation === 'decode' ? STEPS : 1;
    note(`peers: ${operation}, ${work.layers} layers; at most ${limitOf(options)} s for one call of a peer`);
    const ours = side === 'peers' ? undefined : await startOurs(work, operation, times, options);
    const machine = ours?.machine ?? NO_MACHINE;
    const row = (candidate: Candidate | undefined, compared: Compared, more: Partial<Result>): Result => ({
      suite: 'peers',
      model,
      layers: work.layers,
      ...machine,
      dtype,
      variant: candidate?.name ?? 'ours alone',
      operation,
      ...sides(compared),
      peerDtype: candidate?.dtype ?? null,
      oursError: ours?.error ?? null,
      detail: null,
      ...more,
    });
    try {
      if (side === 'ours') emit(row(undefined, await inTurns(operation, { ours: ours!.side }, times, repeats), {}));
      const torchRows: Result[] = [];
      for (const { peer, candidates } of groups) {
        const software = /llvmpipe|swiftshader/i.test(machine.adapter);
        const { best, slower, failed } = await fastestOf(candidates, operation, times, software);
        const say = peer === 'torch' ? (result: Result) => torchRows.push(result) : emit;
        for (const { candidate, failed: why } of failed) {
          note(`peers: ${operation}: ${candidate.name} left out: ${why}`);
          say(row(candidate, { runs: 0 }, { detail: `left out: ${why}` }));
        }
        if (!best) continue;
        try {
          const compared =
            repeats === 1
              ? { ours: await ours?.side.time(operation, times), peer: best.once, runs: 1 }
              : await inTurns(operation, { ours: ours?.side, peer: best.side }, times, repeats);
          say(
            row(best.candidate, compared, {
              peerDevice: best.checked!.device,
              peerCache: (best.checked!['location'] as string | undefined) ?? null,
              peerError: Number(best.checked!.error.toPrecision(2)),
              detail: slower.join('; ') || null,
            }),
          );
        } finally {
          best.side!.end();
        }
      }
      withFastest(torchRows).forEach(emit);
    } finally {
      ours?.side.end();
    }
  }
}

// Whole sentences of both sides: transformers' BarkModel.generate and ours, the same weights and
// text, greedy, so many semantic tokens. Before a time counts, the tokens of each stage are
// compared, and our codec's audio of the peer's codes with the peer's. Of float32 on both sides all
// tokens must be the same; what else there is of rounding makes other tokens likeliest now and
// then, and the share of equal ones is printed.

import { rounded, type Result } from '../measure/harness.ts';
import { isModelName } from '../model/inventory.ts';
import { cachedCheckpoint } from '../model/make_checkpoint.ts';
import { worker, type Checked, type DType, type Timed, type Worker } from './work.ts';

export interface Sentences {
  readonly model: string;
  readonly layers: number;
  /** Semantic tokens; of audio there are tokens / 49.9 seconds. */
  readonly tokens: number;
  readonly dtype: DType;
  readonly dir: string;
}

export interface TorchVariant {
  readonly name: string;
  readonly variant: string;
  readonly dtype: DType;
}

export interface Peers {
  readonly python: string;
  readonly variants: readonly TorchVariant[];
  /** Times both; `first` is what our sentence took that was compared. */
  compare(ours: Worker, peer: Worker, first: Timed): Promise<{ ours: Timed; peer: Timed; runs: number }>;
}

/**
 * Audio of the same codes, over the loudest sample. The codec is float32 with us; a peer in float16
 * has all of it in that.
 */
const AUDIO_TOLERANCE: Readonly<Record<DType, number>> = { float32: 1e-4, float16: 5e-2 };
/**
 * Of codes that each depend on what both sides were given, as much as rounding to halves may turn
 * over.
 */
const LEAST_EQUAL = 0.9;

/** Throws unless the sentences are the same as far as `dtype` and the peer's can promise. */
export function expectSame(checked: Checked, dtype: DType, peer: DType, tokens: number): void {
  const { error, equalSemantic, equalCoarse, equalFine, semanticTokens } = checked as Checked & Record<string, number>;
  if (semanticTokens !== tokens)
    throw new Error(`generate: got ${semanticTokens} semantic tokens, expected ${tokens}: the end was drawn`);
  if (!(error <= AUDIO_TOLERANCE[peer]))
    throw new Error(
      `generate: audio of the same codes differs by ${error.toPrecision(3)} of the loudest sample, expected at most ${AUDIO_TOLERANCE[peer]}`,
    );
  if (peer === 'float16') return; // whose rounding it is cannot be told
  const shares = { semantic: equalSemantic!, coarse: equalCoarse!, fine: equalFine! };
  for (const [stage, share] of Object.entries(shares)) {
    // In a chain all is other tokens behind the first that is; the fine stage's are each for
    // themselves.
    const least = dtype === 'float32' ? 1 : stage === 'fine' ? LEAST_EQUAL : Number.MIN_VALUE;
    if (!(share >= least))
      throw new Error(
        `generate: ${rounded(100 * share, 1)} % of the ${stage} tokens are equal, expected ${least === 1 ? 'all' : least > 0.5 ? `at least ${100 * least} %` : 'some'}`,
      );
  }
}

/**
 * A line for each of transformers' ways. One that cannot run is left out and said so; where ours
 * says something else, that is an error, thrown at the end.
 */
export async function compareSentences(
  { model, layers, tokens, dtype, dir }: Sentences,
  { python, variants, compare }: Peers,
  emit: (result: Result) => void,
  note: (text: string) => void,
): Promise<void> {
  if (!isModelName(model)) throw new Error(`generate: got the model ${model}, expected small or large.`);
  const folder = cachedCheckpoint(model, 'f16', dir, layers);
  const text = Array.from({ length: 40 }, (_, i) => 100 + 211 * i);
  const ours = worker('generate_child.ts', { folder, dtype, text, tokens });
  const different: string[] = [];
  try {
    for (const { name, variant, dtype: peerDtype } of variants) {
      const peer = worker('generate_child.py', { folder, text, tokens, variant, dtype: peerDtype }, python);
      try {
        const { device: peerDevice, ...said } = await peer.check('generate');
        const checked = await ours.check('generate', said);
        try {
          expectSame(checked, dtype, peerDtype, tokens);
        } catch (error) {
          different.push(`${(error as Error).message} (${name})`);
          continue;
        }
        const { ms, cpuMs } = checked as Checked & Timed;
        const timed = await compare(ours, peer, { ms, cpuMs });
        const { device, error, audioSeconds, semanticTokens, coarseTokens, equalSemantic, equalCoarse, equalFine } =
          checked as Checked & Record<string, number>;
        const factor = ({ ms }: Timed): number => rounded(ms / 1000 / audioSeconds!, 3);
        emit({
          suite: 'peers',
          model,
          layers,
          adapter: device,
          dtype,
          variant: name,
          operation: 'generate',
          oursMs: rounded(timed.ours.ms, 2),
          peerMs: rounded(timed.peer.ms, 2),
          ratio: rounded(timed.peer.ms / timed.ours.ms, 2),
          oursCpuMs: rounded(timed.ours.cpuMs, 2),
          peerCpuMs: rounded(timed.peer.cpuMs, 2),
          cpuRatio: rounded(timed.peer.cpuMs / timed.ours.cpuMs, 2),
          runs: timed.runs,
          peerDtype,
          peerDevice,
          semanticTokens: semanticTokens!,
          coarseTokens: coarseTokens!,
          audioSeconds: audioSeconds!,
          oursRealTimeFactor: factor(timed.ours),
          peerRealTimeFactor: factor(timed.peer),
          equalSemantic: equalSemantic!,
          equalCoarse: equalCoarse!,
          equalFine: equalFine!,
          audioError: Number(error.toPrecision(2)),
        });
      } catch (error) {
        note(`peers: generate: ${name} left out: ${(error as Error).message.split('\n').slice(0, 3).join(' ')}`);
      } finally {
        peer.end();
      }
    }
  } finally {
    ours.end();
  }
  if (different.length > 0) throw new Error(different.join('; '));
}

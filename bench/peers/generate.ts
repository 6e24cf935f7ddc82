// Compares whole sentences: transformers' BarkModel.generate and ours, with the same weights, text
// and number of semantic tokens, greedy. Before anything is timed, the tokens of each stage are
// compared, and our codec's audio of the peer's codes with the peer's audio. If both sides are
// float32, all tokens must be equal. Rounding to float16 changes which token is likeliest now and
// then, so there the share of equal tokens is printed.

import { rounded, type Result } from '../measure/harness.ts';
import { whereOf, type Asked, type Machine } from '../measure/machine.ts';
import { isModelName } from '../model/inventory.ts';
import { cachedCheckpoint } from '../model/make_checkpoint.ts';
import { sides, worker, type Checked, type DType, type Timed, type Worker } from './work.ts';

export interface Sentences extends Asked {
  readonly model: string;
  readonly layers: number;
  /** Number of semantic tokens; they make tokens / 49.9 seconds of audio. */
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
  /** Times both sides; `first` is the time of our sentence that was compared. */
  compare(ours: Worker, peer: Worker, first: Timed): Promise<{ ours: Timed; peer: Timed; runs: number }>;
}

/**
 * Allowed difference of audio from the same codes, relative to the loudest sample, by the peer's
 * dtype. Our codec is always float32; a float16 peer runs its codec in float16.
 */
const AUDIO_TOLERANCE: Readonly<Record<DType, number>> = { float32: 1e-4, float16: 5e-2 };
/** Share of fine codes that must be equal in float16; each depends only on the shared input. */
const LEAST_EQUAL = 0.9;

/** Throws unless the sentences are equal as far as our dtype and the peer's allow. */
export function expectSame(checked: Checked, dtype: DType, peer: DType, tokens: number): void {
  const { error, equalSemantic, equalCoarse, equalFine, semanticTokens } = checked as Checked & Record<string, number>;
  if (semanticTokens !== tokens)
    throw new Error(`generate: got ${semanticTokens} semantic tokens, expected ${tokens}: the end was drawn`);
  if (!(error <= AUDIO_TOLERANCE[peer]))
    throw new Error(
      `generate: audio of the same codes differs by ${error.toPrecision(3)} of the loudest sample, expected at most ${AUDIO_TOLERANCE[peer]}`,
    );
  if (peer === 'float16') return; // differences may come from the peer's rounding, so tokens are not judged
  const shares = { semantic: equalSemantic!, coarse: equalCoarse!, fine: equalFine! };
  for (const [stage, share] of Object.entries(shares)) {
    // After the first different token of a causal stage all others may differ; fine codes do not
    // depend on each other.
    const least = dtype === 'float32' ? 1 : stage === 'fine' ? LEAST_EQUAL : Number.MIN_VALUE;
    if (!(share >= least))
      throw new Error(
        `generate: ${rounded(100 * share, 1)} % of the ${stage} tokens are equal, expected ${least === 1 ? 'all' : least > 0.5 ? `at least ${100 * least} %` : 'some'}`,
      );
  }
}

/**
 * Emits a result for each variant of transformers. A variant that cannot run is left out with a
 * note.
 * If our sentence differs from a peer's, that is an error, thrown after all variants are done.
 */
export async function compareSentences(
  { model, layers, tokens, dtype, dir, ...asked }: Sentences,
  { python, variants, compare }: Peers,
  emit: (result: Result) => void,
  note: (text: string) => void,
): Promise<void> {
  if (!isModelName(model)) throw new Error(`generate: got the model ${model}, expected small or large.`);
  const folder = cachedCheckpoint(model, 'f16', dir, layers);
  const text = Array.from({ length: 40 }, (_, i) => 100 + 211 * i);
  const ours = worker('generate_child.ts', { folder, dtype, text, tokens, ...asked });
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
        const { error, audioSeconds, semanticTokens, coarseTokens, equalSemantic, equalCoarse, equalFine } =
          checked as Checked & Record<string, number>;
        const factor = ({ ms }: Timed): number => rounded(ms / 1000 / audioSeconds!, 3);
        emit({
          suite: 'peers',
          model,
          layers,
          ...whereOf(checked as Checked & Machine),
          dtype,
          variant: name,
          operation: 'generate',
          ...sides(timed),
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

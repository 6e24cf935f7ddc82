// Compares whole sentences: transformers' BarkModel.generate and ours, with the same weights, text
// and number of semantic tokens, greedy. Before anything is timed, the tokens of each stage are
// compared, and our codec's audio of the peer's codes with the peer's audio. If both sides are
// float32, all tokens must be equal. Rounding to float16 changes which token is likeliest now and
// then, so there the share of equal tokens is printed.

import { rounded, type Result } from '../measure/harness.ts';
import { whereOf, type Machine } from '../measure/machine.ts';
import { isModelName } from '../model/inventory.ts';
import { cachedCheckpoint } from '../model/make_checkpoint.ts';
import { limitOf, torchInput, type TorchVariant } from './candidates.ts';
import { inWords, NO_MACHINE, withFastest, type Settings } from './compare.ts';
import { inTurns, sides, worker, type Checked, type Compared, type DType, type PeerDType, type Timed } from './work.ts';

const SAMPLE_RATE = 24_000;

export interface Sentences {
  readonly model: string;
  readonly layers: number;
  /** Number of semantic tokens; they make tokens / 49.9 seconds of audio. */
  readonly tokens: number;
  readonly dir: string;
}

/**
 * Allowed difference of audio from the same codes, relative to the loudest sample, by the peer's
 * dtype. Our codec is always float32; a float16 peer runs its codec in float16, and so on.
 */
const AUDIO_TOLERANCE: Readonly<Record<PeerDType, number>> = { float32: 1e-4, float16: 5e-2, bfloat16: 1e-1 };
/** Share of fine codes that must be equal in float16; each depends only on the shared input. */
const LEAST_EQUAL = 0.9;

/** Throws unless the sentences are equal as far as our dtype and the peer's allow. */
export function expectSame(checked: Checked, dtype: DType, peer: PeerDType, tokens: number): void {
  const { error, equalSemantic, equalCoarse, equalFine, semanticTokens } = checked as Checked & Record<string, number>;
  if (semanticTokens !== tokens)
    throw new Error(`generate: got ${semanticTokens} semantic tokens, expected ${tokens}: the end was drawn`);
  if (!(error <= AUDIO_TOLERANCE[peer]))
    throw new Error(
      `generate: audio of the same codes differs by ${error.toPrecision(3)} of the loudest sample, expected at most ${AUDIO_TOLERANCE[peer]}`,
    );
  if (peer !== 'float32') return; // differences may come from the peer's rounding, so tokens are not judged
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
 * Emits a result for each form of transformers. One that cannot run, or takes too long, has a
 * result that says so.
 * If our sentence differs from a peer's, that is an error, thrown after all forms are done.
 */
export async function compareSentences(
  { model, layers, tokens, dir }: Sentences,
  { python, torch, options }: Settings,
  emit: (result: Result) => void,
  note: (text: string) => void,
): Promise<void> {
  if (!isModelName(model)) throw new Error(`generate: got the model ${model}, expected small or large.`);
  const { dtype = 'float16', side = 'both', quick, repeats, backend, threads } = options;
  const folder = cachedCheckpoint(model, 'f16', dir, layers);
  const text = Array.from({ length: 40 }, (_, i) => 100 + 211 * i);
  note(`peers: generate, ${layers} layers, ${tokens} semantic tokens; ${limitOf(options)} s for one call of a peer`);
  const ours =
    side === 'peers' ? undefined : worker('generate_child.ts', { folder, dtype, text, tokens, backend, threads });
  const row = (form: TorchVariant | undefined, compared: Compared, checked: Checked | undefined, more: object) =>
    ({
      suite: 'peers',
      model,
      layers,
      ...(checked ? whereOf(checked as Checked & Machine) : NO_MACHINE),
      dtype,
      variant: form?.name ?? 'ours alone',
      operation: 'generate',
      ...sides(compared),
      peerDtype: form?.dtype ?? null,
      semanticTokens: tokens,
      detail: null,
      ...more,
    }) satisfies Result;
  const different: string[] = [];
  const rows: Result[] = [];
  try {
    if (side === 'ours') {
      const checked = await ours!.check('generate', { onlyAudio: true });
      const compared = await inTurns('generate', { ours }, 1, quick ? 1 : repeats);
      const oursRealTimeFactor = factor(compared.ours, checked['audioSeconds'] as number);
      emit(row(undefined, compared, checked, { oursRealTimeFactor }));
    }
    for (const form of side === 'ours' ? [] : torch) {
      const seconds = limitOf(options);
      const peer = worker('generate_child.py', { folder, text, tokens, ...torchInput(form) }, { python, seconds });
      try {
        const { device: peerDevice, ...said } = await peer.check('generate');
        const onlyAudio = form.dtype !== 'float32' && form.threads !== null;
        const checked = await ours?.check('generate', { said, onlyAudio });
        try {
          if (checked) expectSame(checked, dtype, form.dtype, tokens);
        } catch (error) {
          different.push(`${(error as Error).message} (${form.name})`);
          continue;
        }
        // Short of time, the sentence that was compared is the one that counts: ours has only what
        // loading warmed up, which favours the peer.
        const compared =
          quick && checked
            ? { ours: checked as Checked & Timed, peer: await peer.time('generate', 1), runs: 1 }
            : await inTurns('generate', { ours, peer }, 1, repeats);
        const {
          coarseTokens = null,
          equalSemantic = null,
          equalCoarse = null,
          equalFine = null,
        } = (checked ?? {}) as Record<string, number>;
        const audioSeconds = (said['audio'] as readonly number[]).length / SAMPLE_RATE;
        rows.push(
          row(form, compared, checked, {
            peerDevice,
            coarseTokens,
            audioSeconds,
            oursRealTimeFactor: factor(compared.ours, audioSeconds),
            peerRealTimeFactor: factor(compared.peer, audioSeconds),
            equalSemantic,
            equalCoarse,
            equalFine,
            audioError: checked ? Number(checked.error.toPrecision(2)) : null,
          }),
        );
      } catch (error) {
        note(`peers: generate: ${form.name} left out: ${inWords(error)}`);
        rows.push(row(form, { runs: 0 }, undefined, { detail: `left out: ${inWords(error)}` }));
      } finally {
        peer.end();
      }
    }
    withFastest(rows).forEach(emit);
  } finally {
    ours?.end();
  }
  if (different.length > 0) throw new Error(different.join('; '));
}

/** Seconds of work for a second of audio. */
const factor = (time: Timed | undefined, audioSeconds: number): number | null =>
  time ? rounded(time.ms / 1000 / audioSeconds, 3) : null;

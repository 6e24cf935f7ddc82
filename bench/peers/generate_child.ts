// This library in its own process, on whole sentences: `BarkModel.generate`, greedy, with a given
// number of semantic tokens. It is compared with a peer stage by stage, and each stage starts from
// the peer's output of the stage before, so that one different token does not spoil the later
// stages.

import { BarkModel } from '../../bark/model.ts';
import type { GenerateOutput } from '../../bark/output.ts';
import { machineOf, requestDevice, type Asked } from '../measure/machine.ts';
import { answerCalls, type DType } from './work.ts';

export interface GenerateInput extends Asked {
  /** The model's folder. */
  readonly folder: string;
  readonly dtype: DType;
  /** Text tokens, before the model's own are added. */
  readonly text: readonly number[];
  /** Semantic tokens to be said. */
  readonly tokens: number;
}

/** What a check is given: nothing where no peer takes part. */
interface Given {
  readonly said?: Sentence;
  /** Compare only audio of the same codes: tokens of a peer that rounds are its own. */
  readonly onlyAudio: boolean;
}

/** What a peer said; arrays as they travel between processes. */
interface Sentence {
  readonly semantic: readonly number[];
  /** Ids, interleaved by frame. */
  readonly coarse: readonly number[];
  /** Codes (8, T), row-major. */
  readonly fine: readonly number[];
  readonly audio: readonly number[];
}

const LIKELIEST = { temperature: null, topK: null, topP: null };

const { folder, dtype, text, tokens, ...asked } = JSON.parse(process.argv[2]!) as GenerateInput;
const model = await BarkModel.fromPretrained(folder, { dtype, device: await requestDevice(asked) });
const inputs = {
  inputIds: Int32Array.from(text),
  attentionMask: new Int32Array(text.length).fill(1),
  shape: [1, text.length] as [number, number],
  warnings: [],
};

// As transformers does greedily: odd coarse steps may draw ids beyond the second codebook, and the
// early end of the semantic stage is off.
const say = (): Promise<GenerateOutput> =>
  model.generate(inputs, {
    doSample: false,
    minEosP: null,
    seed: 1,
    semantic: { maxNewTokens: tokens },
    coarse: { strictMask: false },
    fine: { temperature: null },
  });

/** The share of `got` that is the same as in `expected`. */
function share(got: ArrayLike<number>, expected: ArrayLike<number>, what: string): number {
  if (got.length !== expected.length)
    throw new Error(`generate: got ${got.length} ${what}, expected ${expected.length} as the other side.`);
  return Array.from(got).filter((v, i) => v === expected[i]).length / expected.length;
}

async function compare(own: GenerateOutput, peer: Sentence): Promise<Record<string, number>> {
  const shares = await compareTokens(own, peer);
  return { ...(await compareAudio(peer)), ...shares };
}

async function compareTokens(own: GenerateOutput, peer: Sentence): Promise<Record<string, number>> {
  const { coarse_acoustics, fine_acoustics, generation_config } = model;
  const { semantic, fine } = own.tokens[0]!;
  const equalSemantic = share(semantic, peer.semantic, 'semantic tokens');
  const [ids] = await coarse_acoustics.generate(
    { semantic: [Int32Array.from(peer.semantic)], history: [null] },
    { ...LIKELIEST, strictMask: false, seeds: [[1, 2]] },
  );
  const equalCoarse = share(ids!, peer.coarse, 'coarse tokens');
  const Q = generation_config.fine_acoustics_config.n_fine_codebooks;
  const given = generation_config.coarse_acoustics_config.n_coarse_codebooks;
  const T = peer.fine.length / Q;
  // The last stage of one's own sentence will do if it began with the same codes: it takes longest.
  const began = fine.length === peer.fine.length && fine.subarray(0, given * T).every((v, i) => v === peer.fine[i]);
  const codes = began
    ? fine
    : await fine_acoustics.generate(coarse_acoustics.codes(Int32Array.from(peer.coarse)), null, {
        temperature: null,
        seed: [1, 2],
      });
  const equalFine = share(codes.subarray(given * T), peer.fine.slice(given * T), 'fine codes');
  return { equalSemantic, equalCoarse, equalFine };
}

async function compareAudio(peer: Sentence): Promise<{ error: number; loudest: number }> {
  const { codec_model, generation_config } = model;
  const Q = generation_config.fine_acoustics_config.n_fine_codebooks;
  const T = peer.fine.length / Q;
  const [audio] = await codec_model.decode({ data: Int32Array.from(peer.fine), shape: [Q, T] });
  if (audio!.length !== peer.audio.length)
    throw new Error(`generate: got ${audio!.length} samples, expected ${peer.audio.length} as the other side.`);
  const loudest = peer.audio.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
  const error = audio!.reduce((most, v, i) => Math.max(most, Math.abs(v - peer.audio[i]!)), 0) / loudest;
  return { error, loudest };
}

/** Our sentence, the same for all peers, with the time that it took. */
async function firstSentence() {
  const start = performance.now();
  const before = process.cpuUsage();
  const own = await say();
  const { user, system } = process.cpuUsage(before);
  return { own, ms: performance.now() - start, cpuMs: (user + system) / 1000 };
}
let spoken: ReturnType<typeof firstSentence> | undefined;

answerCalls<'generate'>({
  async check(_, given) {
    const { own, ...first } = await (spoken ??= firstSentence());
    const { semantic, coarse } = own.tokens[0]!;
    const { said, onlyAudio } = given as Given;
    if (said && said.semantic.length !== semantic.length)
      throw new Error(
        `generate: got ${said.semantic.length} semantic tokens of the peer, expected ${semantic.length} as ours.`,
      );
    const { error = NaN, ...shares } = said
      ? await (onlyAudio ? compareAudio(said) : compare(own, said))
      : { error: 0 };
    return {
      ...machineOf(model.device),
      device: model.device.name,
      error,
      ...first,
      ...shares,
      semanticTokens: semantic.length,
      coarseTokens: coarse.length,
      audioSeconds: own.audio[0]!.data.length / own.audio[0]!.sampling_rate,
    };
  },
  async run(_, times) {
    for (let time = 0; time < times; time++) await say();
  },
});

// The semantic and the coarse stage as the suites `decode` and `stages` use them, and the check of
// a decode step: each token that the step draws greedily must have the largest logit in `forward`,
// which computes the same model through other kernels.

import type { BarkCausalModel } from '../../bark/gpt/causal.ts';
import { BarkCoarseModel } from '../../bark/coarse.ts';
import type { CausalGpt } from '../../bark/gpt/gpt.ts';
import { BarkSemanticModel } from '../../bark/semantic.ts';
import { createSession, type Session, type SessionOptions } from '../../bark/gpt/session.ts';
import type { TokenWindow } from '../../kernels/sample/sample.ts';
import { writeRow } from '../../kernels/state.ts';
import type { Device } from '../../runtime/compute/device.ts';
import type { BenchModel } from '../model/synthetic.ts';

/** Tokens of each sentence that are compared. */
const CHECKED = 4;

/** Positions of the prompt in a quick check. */
export const QUICK_PROMPT = 40;

/** A causal stage of the model, with the settings that its sessions get during generation. */
export interface Stage {
  readonly name: 'semantic' | 'coarse';
  readonly model: BarkCausalModel;
  /** Decode steps of one submit; the same number as in the stage itself. */
  readonly steps: number;
  /** Which ids may be drawn in even and odd steps. */
  readonly drawing: Pick<SessionOptions, 'window'> & { even: TokenWindow; odd: TokenWindow };
  /** Runs `run` with the weights on the GPU. The method is not public in the models. */
  use<R>(run: (gpt: CausalGpt) => Promise<R>): Promise<R>;
}

/** The semantic and the coarse stage of a model, with nothing uploaded yet. */
export function stagesOf(
  device: Device,
  { config, generation, weights }: BenchModel,
  dtype: 'float16' | 'float32',
): Stage[] {
  const at = (path: string) => ({
    device,
    weights: weights.at(path),
    dtype: dtype === 'float16' ? ('f16' as const) : ('f32' as const),
  });
  const semantic = new BarkSemanticModel(at('semantic'), config.semantic_config, generation.semantic_config);
  const coarse = new BarkCoarseModel(at('coarse_acoustics'), config.coarse_acoustics_config, generation);
  const use =
    (model: object) =>
    <R>(run: (gpt: CausalGpt) => Promise<R>) =>
      (model as { use(run: (gpt: CausalGpt) => Promise<R>): Promise<R> }).use(run);
  const { semantic_vocab_size, eos_token_id } = generation.semantic_config;
  const every = { first: 0, count: Math.min(eos_token_id, semantic_vocab_size) + 1 };
  const size = generation.codebook_size;
  return [
    { name: 'semantic', model: semantic, steps: 16, use: use(semantic), drawing: { even: every, odd: every } },
    {
      name: 'coarse',
      model: coarse,
      steps: 20,
      use: use(coarse),
      drawing: {
        window: { even: 0, odd: size, count: size },
        even: { first: semantic_vocab_size, count: size },
        odd: { first: semantic_vocab_size + size, count: size },
      },
    },
  ];
}

/** A session of the stage that never ends a sentence; `greedy` draws the likeliest token. */
export function sessionOf(
  device: Device,
  gpt: CausalGpt,
  stage: Stage,
  batch: number,
  { greedy, prompt, pitch }: { greedy: boolean; prompt: number; pitch: number },
): Promise<Session> {
  const { even, odd, window } = stage.drawing;
  const draw = greedy ? { temperature: null, topK: null, topP: null } : { temperature: 0.7, topK: 50, topP: null };
  return createSession(device, gpt, {
    owner: `bench ${stage.name}`,
    batch,
    prompt,
    pitch,
    sampling: { ...draw, minEosP: null, eos: null, even, odd },
    ...(window && { window }),
  });
}

/** Token ids that are valid in both stages; each sentence has different ones. */
export const promptIds = (length: number, sentence: number): Uint32Array<ArrayBuffer> =>
  Uint32Array.from({ length }, (_, i) => (7 + 131 * i + 1009 * sentence + ((i * i) % 97)) % 10000);

/**
 * Draws `CHECKED` greedy tokens for each of `batch` sentences after a prompt of `length` positions.
 * Throws unless, for every sentence of `sentences`, each token has the largest logit in `forward`
 * over the same tokens, or one within 0.5 % of the logits' root mean square of it.
 */
export async function checkStep(
  device: Device,
  gpt: CausalGpt,
  stage: Stage,
  batch: number,
  length: number,
  sentences: readonly number[],
): Promise<void> {
  const session = await sessionOf(device, gpt, stage, batch, { greedy: true, prompt: length - 1, pitch: CHECKED });
  try {
    for (let b = 0; b < batch; b++) {
      const ids = promptIds(length, b);
      device.write(session.promptIds, ids.subarray(0, length - 1));
      session.prefill(b, length - 1);
      writeRow(device, session.state, b, {
        token: ids[length - 1]!,
        position: length - 1,
        step: 0,
        done: false,
        seed: [b, 1],
        limit: CHECKED,
        base: 0,
      });
    }
    session.step.run(CHECKED);
    const drawn = new Uint32Array(await device.read(session.tokens));
    for (const b of sentences) {
      const own = drawn.subarray(b * CHECKED, (b + 1) * CHECKED);
      const { logits } = await stage.model.forward({
        inputIds: {
          data: [...promptIds(length, b), ...own.subarray(0, CHECKED - 1)],
          shape: [1, length + CHECKED - 1],
        },
      });
      const V = logits.shape[2]!;
      for (let i = 0; i < CHECKED; i++) {
        const { first, count } = i % 2 === 0 ? stage.drawing.even : stage.drawing.odd;
        const row = logits.data.subarray((length - 1 + i) * V + first, (length - 1 + i) * V + first + count);
        const top = row.reduce((a, v) => Math.max(a, v), -Infinity);
        const spread = Math.sqrt(row.reduce((sum, v) => sum + v * v, 0) / count);
        const got = row[own[i]! - first];
        if (!(got !== undefined && top - got <= 5e-3 * spread)) {
          throw new Error(
            `decode, ${stage.name}, batch ${batch}: sentence ${b} drew token ${own[i]} at step ${i}, expected ${first + row.indexOf(top)}: its logit is ${top}, that of the drawn one ${got}.`,
          );
        }
      }
    }
  } finally {
    session.dispose();
  }
}

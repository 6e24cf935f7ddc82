// This library in a process of its own, on the operations that the peers run: the decode step and
// the prefill that generation uses, a pass of the fine stage, and the codec. Compared with the
// reference are the logits of the same kernels over the same cache, and the codec's audio.

import { join } from 'node:path';
import { BarkCausalModel } from '../../bark/gpt/causal.ts';
import { BarkFineModel } from '../../bark/fine.ts';
import { BarkGenerationConfig } from '../../bark/config/generation_config.ts';
import { EncodecModel } from '../../encodec/model.ts';
import { decodeStep, type CausalGpt } from '../../bark/gpt/gpt.ts';
import { createSession, type Session } from '../../bark/gpt/session.ts';
import { writeRow } from '../../kernels/state.ts';
import { openCheckpoint } from '../../runtime/formats/open_checkpoint.ts';
import { record, type Program } from '../../runtime/compute/program.ts';
import { openModelSource } from '../../runtime/sources/open_source.ts';
import type { Tensor } from '../../runtime/compute/tensor.ts';
import { walkWeights } from '../../runtime/formats/weights.ts';
import { machineOf, requestDevice, type Asked } from '../measure/machine.ts';
import { BLOCK_SIZE, CODEBOOKS, configs, MODELS } from '../model/inventory.ts';
import {
  answerCalls,
  CODEC_FRAMES,
  OPERATIONS,
  PAST,
  prefillOf,
  readReference,
  type DType,
  type Operation,
  type Work,
} from './work.ts';

export interface OursInput extends Work, Asked {
  readonly dtype: DType;
}

const VOCABULARY = 10_048;
const STEPS = 16; // of one submit, as in semantic.ts

const { folder, layers, width, heads, dtype, ...asked } = JSON.parse(process.argv[2]!) as OursInput;
const reference = await readReference(folder);
const device = await requestDevice(asked);
const weights = walkWeights(await openCheckpoint(await openModelSource(join(folder, 'weights'))));
const config = { hidden_size: width, num_heads: heads, num_layers: layers, block_size: BLOCK_SIZE, bias: false };
const kind = dtype === 'float16' ? 'f16' : 'f32';

interface Speaking {
  readonly session: Session;
  /** The step without its draw. */
  readonly step: Program;
  readonly logits: Tensor;
}

class Causal extends BarkCausalModel {
  #speaking: Promise<Speaking> | undefined;

  /** A session of one sentence. It and the weights stay until the process ends. */
  get speaking(): Promise<Speaking> {
    return (this.#speaking ??= new Promise((resolve, reject) => {
      this.use(async (gpt) => {
        resolve(await this.#speak(gpt));
        await new Promise(() => {});
      }).catch(reject);
    }));
  }

  async #speak(gpt: CausalGpt): Promise<Speaking> {
    const every = { first: 0, count: VOCABULARY };
    const sampling = { temperature: 0.7, topK: 50, topP: null, minEosP: null, eos: null, even: every, odd: every };
    const longest = Math.max(...OPERATIONS.filter((name) => name.startsWith('prefill')).map(prefillOf));
    const session = await createSession(device, gpt, {
      owner: this.stage,
      batch: 1,
      prompt: longest,
      pitch: BLOCK_SIZE,
      sampling,
    });
    device.write(session.promptIds, new Uint32Array(reference.ids.subarray(0, longest)));
    let logits: Tensor | undefined;
    const step = await record(device, (r) => (logits = decodeStep(r, gpt, session.cache, session.state)), {
      label: 'logits',
    });
    return { session, step, logits: logits! };
  }
}

const every = [[0, VOCABULARY]] as const;
const causal = new Causal(
  { device, weights: weights.at('semantic'), dtype: kind },
  { ...config, input_vocab_size: VOCABULARY, output_vocab_size: VOCABULARY },
  { table: every, head: every },
);
const generation = BarkGenerationConfig.fromJSON(configs(MODELS.small).generation);
// Of eight codebooks seven are given, so that a sentence of 1,024 frames is one pass.
const oneLeft = {
  ...generation,
  coarse_acoustics_config: { ...generation.coarse_acoustics_config, n_coarse_codebooks: CODEBOOKS - 1 },
};
const fine = new BarkFineModel(
  { device, weights: weights.at('fine_acoustics'), dtype: kind },
  {
    ...config,
    input_vocab_size: 1056,
    output_vocab_size: 1056,
    n_codes_total: CODEBOOKS,
    n_codes_given: 1,
    tie_word_embeddings: true,
  },
  oneLeft,
);
const given = Int32Array.from(
  { length: (CODEBOOKS - 1) * BLOCK_SIZE },
  (_, i) => reference.codes[(i % BLOCK_SIZE) * CODEBOOKS + Math.floor(i / BLOCK_SIZE)]!,
);

let codec: Promise<EncodecModel> | undefined;

async function decodeCodec(): Promise<Float32Array> {
  const model = await (codec ??= EncodecModel.fromPretrained(join(folder, 'weights'), {
    device,
    codebooks: CODEBOOKS,
  }));
  const [audio] = await model.decode({ data: reference.codes, shape: [CODEBOOKS, CODEC_FRAMES] });
  return audio!;
}

/** The next step feeds token `position` of the prompt. */
const feed = (session: Session, position: number): void =>
  writeRow(device, session.state, 0, {
    token: reference.ids[position]!,
    position,
    step: 0,
    done: false,
    seed: [1, 2],
    limit: BLOCK_SIZE,
    base: 0,
  });

answerCalls({
  async check(operation) {
    if (operation === 'codec')
      return { ...machineOf(device), device: device.name, error: reference.error(operation, await decodeCodec()) };
    if (operation === 'fine') {
      const { logits } = await fine.forward(CODEBOOKS - 1, {
        data: reference.codes,
        shape: [1, BLOCK_SIZE, CODEBOOKS],
      });
      return { ...machineOf(device), device: device.name, error: reference.error(operation, logits.data) };
    }
    const { session, step, logits } = await causal.speaking;
    const last = operation === 'decode' ? PAST : prefillOf(operation) - 1;
    session.prefill(0, last);
    feed(session, last);
    step.run();
    return {
      ...machineOf(device),
      device: device.name,
      error: reference.error(operation, await device.readFloat32(logits)),
    };
  },
  async run(operation: Operation, times) {
    if (operation === 'codec') {
      for (let time = 0; time < times; time++) await decodeCodec();
      return;
    }
    if (operation === 'fine') {
      for (let time = 0; time < times; time++) await fine.generate(given, null, { temperature: 0.5, seed: [1, 2] });
      return;
    }
    const { session } = await causal.speaking;
    if (operation === 'decode') {
      feed(session, PAST);
      for (let done = 0; done < times; done += STEPS) session.step.run(Math.min(STEPS, times - done));
    } else {
      const last = prefillOf(operation) - 1;
      for (let time = 0; time < times; time++) {
        session.prefill(0, last);
        feed(session, last);
        session.step.run();
      }
    }
    await device.settle();
  },
});

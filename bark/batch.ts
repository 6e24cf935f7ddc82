// Batches of any size, around `generate`'s groups of at most MAX_BATCH rows: their voices, their
// slices, and their outputs joined again.

import { MAX_BATCH } from '../kernels/state.ts';
import { InputError } from '../runtime/base/errors.ts';
import { shown } from '../runtime/base/messages.ts';
import { checkOptions, isBag, isPromise, isWholeList } from '../runtime/base/options.ts';
import type { BarkGenerationConfig } from './config/generation_config.ts';
import type { GenerateOutput } from './output.ts';
import type { BarkInputs } from './processor/processor.ts';
import { VoicePreset } from './processor/voice_preset.ts';

const DOOR = 'model.generate';
const INPUT_KEYS = ['inputIds', 'attentionMask', 'shape', 'historyPrompt', 'warnings'];

/** Throws `InputError` for what is not of the kind that `BarkProcessor.encode` gives. */
export function checkInputs(inputs: BarkInputs): void {
  const usual = 'what processor.encode gives: model.generate(await processor.encode(text), options)';
  if (!isBag(inputs))
    throw new InputError(
      `${DOOR}: got ${shown(inputs, 'setting')} for its inputs, expected ${usual}.${isPromise(inputs) ? ' Write await before it.' : ''}`,
    );
  checkOptions(DOOR, inputs, INPUT_KEYS, { of: 'inputs' });
  const { shape } = inputs;
  if (!isWholeList(shape) || shape.length !== 2 || shape[0] < 1 || shape[1] < 1)
    throw new InputError(
      `inputs: got ${shown(shape, 'setting')} for shape, expected [texts, tokens a row]. Pass ${usual}.`,
    );
  for (const key of ['inputIds', 'attentionMask'] as const)
    if (inputs[key] !== undefined && !isWholeList(inputs[key]))
      throw new InputError(
        `inputs: got ${shown(inputs[key], 'setting')} for ${key}, expected an Int32Array of whole numbers. Pass ${usual}.`,
      );
}

/**
 * The voice of each row, or null. Throws `InputError` for inputs whose sizes do not fit together,
 * and for a voice that this model cannot use.
 */
export function rowVoices(
  { historyPrompt, shape, inputIds, attentionMask }: BarkInputs,
  generation: BarkGenerationConfig,
): (VoicePreset | null)[] {
  const [batch, width] = shape;
  if (batch < 1 || inputIds?.length !== batch * width || attentionMask?.length !== batch * width) {
    throw new InputError(
      `inputs: got ${inputIds?.length ?? 'no'} ids and ${attentionMask?.length ?? 'no'} mask values for shape (${shape}), expected ${batch * width} of each. Use BarkProcessor.encode().`,
    );
  }
  const rows = Array.isArray(historyPrompt)
    ? historyPrompt
    : Array.from({ length: batch }, () => historyPrompt ?? null);
  if (rows.length !== batch)
    throw new InputError(`inputs: got ${rows.length} voices for ${batch} rows, expected one, or one for each row.`);
  const presets = rows.map((voice) => ((voice ?? null) === null ? null : VoicePreset.from(voice!)));
  // The processor has already checked the lengths of its own voices.
  for (const voice of new Set(presets)) voice?.validate(generation, { lengths: false });
  return presets;
}

/** The token rows `from` to `to` − 1. */
export function sliceRows(
  { inputIds, attentionMask, shape: [, width] }: BarkInputs,
  from: number,
  to: number,
): Pick<BarkInputs, 'inputIds' | 'attentionMask' | 'shape'> {
  return {
    inputIds: inputIds.slice(from * width, to * width),
    attentionMask: attentionMask.slice(from * width, to * width),
    shape: [to - from, width],
  };
}

/** One output for a batch that had to be generated in groups of MAX_BATCH rows. */
export function joinOutputs(outputs: readonly GenerateOutput[]): GenerateOutput {
  const all = <T>(of: (output: GenerateOutput) => readonly T[]): T[] => outputs.flatMap((output) => [...of(output)]);
  const sum = (stage: keyof GenerateOutput['timings']): number =>
    outputs.reduce((total, output) => total + output.timings[stage], 0);
  return {
    audio: all((o) => o.audio),
    tokens: all((o) => o.tokens),
    seeds: all((o) => o.seeds),
    warnings: all((o) => o.warnings),
    timings: {
      semantic: sum('semantic'),
      coarse: sum('coarse'),
      fine: sum('fine'),
      codec: sum('codec'),
      total: sum('total'),
      firstToken: outputs[0]!.timings.firstToken,
    },
    voice: (row) => {
      const output = outputs[Math.floor(row / MAX_BATCH)];
      if (!output?.tokens[row % MAX_BATCH])
        throw new InputError(`voice: got row ${row}, expected one from 0 to ${all((o) => o.audio).length - 1}.`);
      return output.voice(row % MAX_BATCH);
    },
  };
}

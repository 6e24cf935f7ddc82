// Teacher-forced logits of all three GPTs equal transformers' on every fixture, f32. The issue asks
// for 1e-3; the sums differ from torch's in their order only, which is 2e-6 here and 2e-5 at the
// worst, so 1e-4 is asked: anything above it is a mistake and not rounding.
// Needs: a device, on wasm and default.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { BarkCausalModel, PastKeyValues } from '../../../bark/gpt/causal.ts';
import type { HostTensor } from '../../../bark/gpt/host_tensor.ts';
import { InputError } from '../../../runtime/base/errors.ts';
import { assertClose } from '../../assert_close.ts';
import { testDevice } from '../../device.ts';
import { formulaIds } from '../../formula.ts';
import {
  type FixtureTensor,
  type ForcedLogits,
  type Fixture,
  type FixtureRun,
  type StagesFixture,
  f32,
  readFixture,
} from '../../fixtures/fixture.ts';
import { FIXTURES, stagesOf } from '../models.ts';
const test = suite('forward');
const LOGITS = { atol: 1e-4 };

/** The positions and columns that a fixture has of logits (B, T, V). */
function pick(
  { data, shape }: HostTensor,
  positions: readonly number[],
  [from, to]: readonly [number, number],
): Float32Array {
  const [B, T, V] = shape as [number, number, number];
  const rows = Array.from({ length: B }, (_, b) =>
    positions.map((at) => data.subarray((b * T + at) * V + from, (b * T + at) * V + to)),
  ).flat();
  return Float32Array.from(rows.flatMap((row) => [...row]));
}

async function checkCausal(model: BarkCausalModel, forced: ForcedLogits, label: string): Promise<void> {
  const { input_ids: ids, positions, columns } = forced;
  const [B, T] = [ids.length, ids[0]!.length];
  const { logits } = await model.forward({ inputIds: { data: ids.flat(), shape: [B, T] } });
  assert.equal(logits.shape, [B, T, model.config.output_vocab_size], label);
  assertClose(pick(logits, positions, columns), f32(forced.logits), LOGITS, label);

  // The same in pieces: one position, a few, the rest; the second piece as embeddings.
  let past: PastKeyValues | undefined;
  const pieces: Float32Array[][] = Array.from({ length: B }, () => []);
  const cuts = [0, 1, 1 + Math.floor((T - 1) / 3), T - 1, T];
  for (const [i, to] of cuts.slice(1).entries()) {
    const from = cuts[i]!;
    const part = { data: ids.flatMap((row) => row.slice(from, to)), shape: [B, to - from] };
    const given =
      i === 1
        ? { inputsEmbeds: { data: await model.embed(part.data), shape: [B, to - from, model.config.hidden_size] } }
        : { inputIds: part };
    const output = await model.forward({ ...given, useCache: true, ...(past ? { pastKeyValues: past } : {}) });
    past = output.pastKeyValues!;
    assert.is(past.length, to);
    const size = (to - from) * model.config.output_vocab_size;
    for (let b = 0; b < B; b++) pieces[b]!.push(output.logits.data.slice(b * size, (b + 1) * size));
  }
  past!.dispose();
  assertClose(
    pieces.flatMap((row) => row.flatMap((piece) => [...piece])),
    logits.data,
    { atol: 2e-5 },
    `${label} in pieces`,
  );
}

/**
 * Logits of the merged prompt's end, B rows: text and history embeddings added, and the infer
 * token.
 */
async function checkPrompt(
  { semantic: model, generation }: ReturnType<typeof stagesOf>,
  run: FixtureRun,
  label: string,
): Promise<void> {
  const wanted = run.expected.semantic_prefill_logits;
  if (!wanted) return; // immediate EOS
  const {
    max_input_semantic_length: L,
    text_encoding_offset,
    text_pad_token,
    semantic_pad_token,
    semantic_infer_token,
  } = generation.semantic_config;
  const H = model.config.hidden_size;
  const prompts = await Promise.all(
    run.input_ids.map(async (row, b) => {
      const text = Array.from({ length: L }, (_, i) =>
        run.attention_mask[b]![i] ? row[i]! + text_encoding_offset : text_pad_token,
      );
      const past = (run.history?.semantic_prompt ?? []).slice(-L);
      const embeds = await model.embed([
        ...text,
        ...past,
        ...Array.from({ length: L - past.length }, () => semantic_pad_token),
        semantic_infer_token,
      ]);
      return Array.from({ length: (L + 1) * H }, (_, i) =>
        i < L * H ? embeds[i]! + embeds[L * H + i]! : embeds[L * H + i]!,
      );
    }),
  );
  const { logits } = await model.forward({ inputsEmbeds: { data: prompts.flat(), shape: [prompts.length, L + 1, H] } });
  const [columns, values] =
    'columns' in wanted ? [wanted.columns, wanted.logits] : [[0, logits.shape[2]!] as [number, number], wanted];
  assertClose(pick(logits, [L], columns), f32(values), LOGITS, `${label} prompt`);
}

async function checkFine(
  model: ReturnType<typeof stagesOf>['fine'],
  codes: HostTensor<number[]>,
  positions: number[],
  columns: [number, number] | undefined,
  byCodebook: Record<string, FixtureTensor>,
  label: string,
): Promise<void> {
  for (const [codebook, wanted] of Object.entries(byCodebook)) {
    const { logits } = await model.forward(Number(codebook), codes);
    assert.equal(logits.shape, [1, codes.shape[1], model.config.output_vocab_size], label);
    assertClose(
      pick(logits, positions, columns ?? [0, logits.shape[2]!]),
      f32(wanted),
      LOGITS,
      `${label} codebook ${codebook}`,
    );
  }
}

for (const name of FIXTURES) {
  test(`${name}: forced logits`, async () => {
    const fixture: Fixture = readFixture(name);
    const stages = stagesOf(await testDevice(), fixture, 'f32');
    const { forced } = fixture;
    await checkCausal(stages.semantic, forced.semantic, `${name} semantic`);
    await checkCausal(stages.coarse, forced.coarse_acoustics, `${name} coarse`);
    for (const run of fixture.runs) await checkPrompt(stages, run, `${name}/${run.name}`);
    const { codes, positions, by_codebook } = forced.fine_acoustics;
    const shape = [codes.length, codes[0]!.length, codes[0]![0]!.length];
    await checkFine(stages.fine, { data: codes.flat(2), shape }, positions, undefined, by_codebook, `${name} fine`);
    for (const stage of [stages.semantic, stages.coarse, stages.fine]) stage.unload();
  });
}

test('spec84 stages: the forced logits that the specification publishes', async () => {
  const fixture = readFixture<StagesFixture>('spec84_stages');
  const { coarse, fine } = stagesOf(await testDevice(), fixture, 'f32');
  await checkCausal(coarse, fixture.coarse_forced, 'spec84 coarse');
  const { positions, columns, by_codebook } = fixture.fine_forced;
  const [T, C] = [1024, 8];
  const buffer = formulaIds('fine.buf', T * C, 1024);
  for (const [codebook, wanted] of Object.entries(by_codebook)) {
    const codes = { data: Array.from(buffer, (code, i) => (i % C < Number(codebook) ? code : 1024)), shape: [1, T, C] };
    await checkFine(fine, codes, positions, columns, { [codebook]: wanted }, 'spec84 fine');
  }
  coarse.unload();
  fine.unload();
});

test('fine: rows of a batch are as alone, and codebooks after the asked one are not looked at', async () => {
  const { fine } = stagesOf(await testDevice(), readFixture('heads_8_24_40'), 'f32');
  const [T, C] = [23, fine.config.n_codes_total];
  const rows = [1, 2, 3].map((k) => [...formulaIds(`row ${k}`, T * C, 64)]);
  const together = await fine.forward(3, { data: rows.flat(), shape: [3, T, C] });
  for (const [b, row] of rows.entries()) {
    const blind = row.map((code, i) => (i % C > 3 ? 5 : code));
    const { logits } = await fine.forward(3, { data: blind, shape: [1, T, C] });
    assert.equal(together.logits.data.slice(b * logits.data.length, (b + 1) * logits.data.length), logits.data);
  }
  fine.unload();
});

test('nested lists are tensors', async () => {
  const { semantic } = stagesOf(await testDevice(), readFixture('base'), 'f32');
  const { logits } = await semantic.forward({
    inputIds: [
      [1, 2, 3],
      [4, 5, 6],
    ],
  });
  assert.equal(logits, (await semantic.forward({ inputIds: { data: [1, 2, 3, 4, 5, 6], shape: [2, 3] } })).logits);
  semantic.unload();
});

test('forward refuses what does not fit', async () => {
  const { semantic, fine, config } = stagesOf(await testDevice(), readFixture('base'), 'f32');
  const refused = async (what: Promise<unknown>, message: RegExp) =>
    what.then(
      () => assert.unreachable(`${message}: was taken`),
      (error: Error) => assert.ok(error instanceof InputError && message.test(error.message), error.stack!),
    );
  const block = config.semantic_config.block_size;
  const ids = (count: number, shape: number[]) => ({ inputIds: { data: new Int32Array(count), shape } });
  await refused(semantic.forward({}), /got neither of inputIds and inputsEmbeds, expected one/);
  await refused(semantic.forward({ ...ids(3, [1, 3]), inputsEmbeds: { data: [], shape: [0] } }), /got both/);
  await refused(semantic.forward(ids(3, [1, 4])), /got 3 values, expected 4 for shape \(1, 4\)/);
  await refused(semantic.forward(ids(0, [1, 0])), /got shape \(1, 0\), expected \(B, T\)/);
  await refused(semantic.forward({ inputIds: [1, 2] }), /got shape \(2\), expected \(B, T\)/);
  await refused(semantic.forward({ inputIds: [[1, 2], [3]] }), /got a list of 1 beside one of 2/);
  await refused(semantic.forward(ids(block + 1, [1, block + 1])), /expected at most block_size/);
  await refused(
    semantic.forward({ inputIds: { data: [config.semantic_config.input_vocab_size], shape: [1, 1] } }),
    /got row \d+, expected one from 0/,
  );
  await refused(
    semantic.forward({ inputsEmbeds: { data: new Float32Array(31), shape: [1, 1, 31] } }),
    /expected \(B, T, 32\)/,
  );
  const { pastKeyValues } = await semantic.forward({ ...ids(2, [1, 2]), useCache: true });
  await refused(
    semantic.forward({ ...ids(2, [2, 1]), pastKeyValues: pastKeyValues! }),
    /pastKeyValues is of 1 rows, expected 2/,
  );
  pastKeyValues!.dispose();
  const codes = (T: number, C = 8, code = 0) => ({ data: new Int32Array(T * C).fill(code), shape: [1, T, C] });
  await refused(fine.forward(0, codes(4)), /got codebook 0, expected one from 1 to 7/);
  await refused(fine.forward(8, codes(4)), /got codebook 8/);
  await refused(fine.forward(2, codes(4, 7)), /expected \(B, T, 8\)/);
  await refused(fine.forward(2, codes(config.fine_acoustics_config.block_size + 1)), /with T up to/);
  await refused(
    fine.forward(2, codes(4, 8, config.fine_acoustics_config.input_vocab_size)),
    /got the code \d+, expected one from 0/,
  );
  semantic.unload();
  fine.unload();
});

test.run();

// What the tests of the whole model share: the fixtures by name, a fixture's model on the test's
// device, and the comparison of what it says with what transformers said.

import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { BarkCoarseModel } from '../../bark/coarse.ts';
import { BarkConfig } from '../../bark/config/config.ts';
import { BarkFineModel } from '../../bark/fine.ts';
import { BarkGenerationConfig } from '../../bark/config/generation_config.ts';
import type { LoadOptions } from '../../bark/load_options.ts';
import { BarkModel } from '../../bark/model.ts';
import type { GenerateOutput } from '../../bark/output.ts';
import type { GenerateOptions } from '../../bark/options.ts';
import { BarkProcessor, type BarkInputs, type Voice } from '../../bark/processor/processor.ts';
import { BarkSemanticModel } from '../../bark/semantic.ts';
import type { Checkpoint } from '../../runtime/formats/checkpoint.ts';
import type { Device } from '../../runtime/compute/device.ts';
import { walkWeights } from '../../runtime/formats/weights.ts';
import { formulaWeights } from '../formula.ts';
import { type FixtureTensor, type Fixture, type FixtureExpected, type FixtureRun, f32 } from '../fixtures/fixture.ts';
import { type FolderOptions, stored, writeModelFolder } from '../fixtures/write_model.ts';
/**
 * Every case that is a whole model with runs; the other files in fixtures/ are of another layout.
 */
export const FIXTURES: readonly string[] = readdirSync(new URL('../fixtures/', import.meta.url))
  .filter((file) => file.endsWith('.json'))
  .map((file) => file.slice(0, -'.json'.length))
  .filter((name) => !['codecs', 'demo_voice', 'spec84_golden', 'spec84_stages'].includes(name))
  .sort();

/** A folder of this process that goes when it ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'bark-test-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export interface Opened {
  readonly fixture: Fixture;
  readonly model: BarkModel;
  readonly processor: BarkProcessor;
}

/** A fixture's model through the public door: a folder on disk, `fromPretrained` twice. */
export async function openFixture(fixture: Fixture, load: LoadOptions, files: FolderOptions = {}): Promise<Opened> {
  const folder = temporaryFolder();
  try {
    await writeModelFolder(folder, fixture, files);
    const processor = await BarkProcessor.fromPretrained(folder);
    return { fixture, processor, model: await BarkModel.fromPretrained(folder, { dtype: 'float32', ...load }) };
  } finally {
    // The weights are on the GPU, and what is read later comes from an open file: this also finds
    // out whether a path is opened twice.
    if (process.platform === 'linux' && !load.offload) rmSync(folder, { recursive: true, force: true });
  }
}

/** What transformers would have read. */
export const checkpointOf = ({ config, formula }: Pick<Fixture, 'config' | 'formula'>): Checkpoint =>
  stored(formulaWeights(config, formula), formula.dtype ?? 'F32');

/** The three GPTs of a fixture without files: research's door. */
export function stagesOf(
  device: Device,
  fixture: Pick<Fixture, 'config' | 'generation_config' | 'formula'>,
  dtype: 'f16' | 'f32',
  checkpoint = checkpointOf(fixture),
) {
  const config = BarkConfig.fromJSON(fixture.config);
  const generation = BarkGenerationConfig.fromJSON(fixture.generation_config);
  const at = (path: string) => ({ device, dtype, weights: walkWeights(checkpoint, path) });
  return {
    config,
    generation,
    semantic: new BarkSemanticModel(at('semantic'), config.semantic_config, generation.semantic_config),
    coarse: new BarkCoarseModel(at('coarse_acoustics'), config.coarse_acoustics_config, generation),
    fine: new BarkFineModel(at('fine_acoustics'), config.fine_acoustics_config, generation),
  };
}

/** Likeliest tokens everywhere, as `do_sample=False, fine_temperature=None` in transformers. */
export const GREEDY: GenerateOptions = { doSample: false, minEosP: null, fine: { temperature: null } };

export function greedyOptions(run: Pick<FixtureRun, 'options'>): GenerateOptions {
  const { min_eos_p = null, semantic_max_new_tokens } = run.options ?? {};
  return { ...GREEDY, minEosPRaw: min_eos_p, semantic: { maxNewTokens: semantic_max_new_tokens } };
}

/** Encodes a run's text and checks that the ids are those that transformers read. */
export async function encodeRun(
  { fixture, processor }: Opened,
  run: FixtureRun,
  voices: Voice | null | (Voice | null)[] = run.history,
): Promise<BarkInputs> {
  const inputs = await processor.encode(run.text, { voicePreset: voices });
  const width = inputs.shape[1];
  const label = `${fixture.name}/${run.name}`;
  const rows = (values: ArrayLike<number>) =>
    run.text.map((_, b) => Array.from(values).slice(b * width, (b + 1) * width));
  assert.equal(
    rows(inputs.attentionMask),
    run.attention_mask.map((row) => row.slice(0, width)),
    `${label}: attention mask`,
  );
  const seen = (ids: number[], b: number) => ids.map((id, i) => (run.attention_mask[b]![i] ? id : 0));
  assert.equal(
    rows(inputs.inputIds).map(seen),
    run.input_ids.map((row) => row.slice(0, width)).map(seen),
    `${label}: input ids`,
  );
  return inputs;
}

/**
 * Codes (2, T), row-major, of transformers' interleaved coarse ids: as its fine stage reads them.
 */
function coarseCodes(ids: readonly number[], { generation_config }: Pick<BarkModel, 'generation_config'>): number[] {
  const {
    codebook_size,
    semantic_config: { semantic_vocab_size },
  } = generation_config;
  return [0, 1].flatMap((c) =>
    ids.filter((_, i) => i % 2 === c).map((id) => (id - semantic_vocab_size) % codebook_size),
  );
}

/** A code that transformers itself chose by less than this is a tie (fixtures/README.md). */
const TIE = 1e-4;

/**
 * Fine codes (C, T), row-major, are equal. Behind a tie of codebook c, later codebooks have seen
 * another c and are not compared.
 */
export function assertFine(
  actual: ArrayLike<number>,
  expected: readonly (readonly number[])[],
  label: string,
  margins?: FixtureTensor,
): void {
  const T = expected[0]!.length;
  assert.is(actual.length, expected.length * T, `${label}: fine codes`);
  const clear = margins && f32(margins);
  for (const [c, row] of expected.entries()) {
    let tied = false;
    for (let t = 0; t < T; t++) {
      if (actual[c * T + t] === row[t]) continue;
      if (clear && c >= 2 && clear[(c - 2) * T + t]! < TIE) tied = true;
      else assert.unreachable(`${label}: fine code [${c}, ${t}] is ${actual[c * T + t]}, expected ${row[t]}`);
    }
    if (tied) return;
  }
}

/** Samples within 1e-4 of full scale, or of the expected peak where that is higher. */
export function assertAudio(actual: Float32Array, expected: FixtureTensor | undefined, label: string): void {
  if (!expected) return;
  const samples = f32(expected);
  assert.is(actual.length, samples.length, `${label}: samples`);
  const peak = samples.reduce((most, x) => Math.max(most, Math.abs(x)), 1);
  let worst = 0;
  for (let i = 0; i < samples.length; i++)
    if (!(Math.abs(actual[i]! - samples[i]!) <= worst)) worst = Math.abs(actual[i]! - samples[i]!);
  assert.ok(worst <= 1e-4 * peak, `${label}: audio is off by ${worst}, expected at most 1e-4 of ${peak}`);
}

/**
 * Row `row` of an output is row `b` of a run. A row of a batch has the fine codes and audio that it
 * has alone: no row hears another.
 */
export function assertRow(
  output: GenerateOutput,
  row: number,
  run: FixtureRun,
  b: number,
  opened: Opened,
  mask: 'wide' | 'strict' = 'wide',
): void {
  const label = `${opened.fixture.name}/${run.name}${mask === 'strict' ? ' strict' : ''} row ${b}`;
  const { semantic, coarse, fine } = output.tokens[row]!;
  const wanted: Pick<FixtureExpected, 'coarse' | 'fine' | 'fine_margins'> =
    mask === 'strict' ? run.strict! : run.expected;
  const alone = mask === 'strict' ? undefined : run.alone?.[b];
  assert.equal([...semantic], run.expected.semantic[b], `${label}: semantic tokens`);
  if (run.expected.crash) return;
  assert.equal([...coarse], coarseCodes(wanted.coarse[b]!, opened.model), `${label}: coarse codes`);
  assertFine(fine, alone?.fine ?? wanted.fine[b]!, label, alone ? alone.fine_margins : wanted.fine_margins?.[b]);
  const { data } = output.audio[row]!;
  assert.is(data.length, alone?.output_lengths ?? run.expected.output_lengths[b], `${label}: samples`);
  if (mask === 'wide') assertAudio(data, run.alone ? alone?.audio : run.expected.audio?.[b], label);
}

// Voices that are nearly right, as tools that clone voices write them, made right: rows for
// columns, codes with the offsets of a model's vocabulary, padding, a frame too many. Nothing is
// invented: codes are moved, cut, or taken from the other array that has them too; of the semantic
// tokens, which have no second copy, a few may repeat the one before. Each mend is told in words.

import type { BarkGenerationConfig } from '../config/generation_config.ts';
import type { IntegerArray } from '../../runtime/formats/npy.ts';
import { framesPerToken, lastAlike } from './check_voice.ts';
import { toArray, wrong, type Prompt } from './prompt_arrays.ts';

export interface MendedVoice {
  readonly arrays: Record<Prompt, IntegerArray>;
  /** What was mended, in plain words; empty for a voice that was right. */
  readonly how: string[];
}

const CANNOT = 'This cannot be mended: make the voice again.';
const MOST_REPEATED = 0.1; // of the semantic tokens
const MOST_CUT = 0.5; // of a voice; more means that the arrays are of two sounds, or of another rate

/** Throws `WeightsError` for what is beyond mending. */
export function mendVoice(
  given: Readonly<Partial<Record<Prompt, IntegerArray>>>,
  label: string,
  generation: BarkGenerationConfig,
): MendedVoice {
  const { semantic_config, coarse_acoustics_config, fine_acoustics_config, codebook_size } = generation;
  const vocabulary = semantic_config.semantic_vocab_size;
  const how: string[] = [];
  const say = (what: string) => void how.push(`${label}: mended: ${what}.`);
  const cannot = (got: string, expected: string) => wrong(label, got, expected, CANNOT);

  let semantic = mendSemantic();
  let fine = mendFine();
  let coarse = mendCoarse();
  mendLengths();
  return {
    arrays: {
      semantic_prompt: { data: semantic, shape: [semantic.length] },
      coarse_prompt: toArray(coarse, label),
      fine_prompt: toArray(fine, label),
    },
    how,
  };

  function mendSemantic(): Int32Array<ArrayBuffer> {
    const array = given.semantic_prompt;
    if (!array) throw cannot('no semantic_prompt', 'one');
    const { shape } = array;
    if (shape.length === 0 || Math.max(...shape) !== array.data.length)
      throw cannot(`semantic_prompt has shape [${shape.join(', ')}]`, 'one row of tokens');
    if (shape.slice(0, -1).some((length) => length !== 1))
      say(`made one row of semantic_prompt, which had shape [${shape.join(', ')}]`);
    const inside = (token: number) => token >= 0 && token < vocabulary;
    const end = array.data.findLastIndex(inside) + 1;
    const first = array.data.findIndex(inside);
    const outside = array.data.subarray(0, end).filter((token) => !inside(token)).length;
    if (first < 0 || outside > MOST_REPEATED * end) {
      const count = array.data.filter((token) => !inside(token)).length;
      throw cannot(
        `${count} of ${array.data.length} semantic tokens outside the vocabulary`,
        `tokens from 0 to ${vocabulary - 1}, and few others`,
      );
    }
    const tokens = array.data.slice(0, end);
    if (end < array.data.length)
      say(`cut ${many(array.data.length - end, 'semantic token')} outside 0 to ${vocabulary - 1} from the end`);
    for (let i = 0, last = tokens[first]!; i < end; i++) last = tokens[i] = inside(tokens[i]!) ? tokens[i]! : last;
    if (outside > 0)
      say(`put the token before in place of ${many(outside, 'semantic token')} outside 0 to ${vocabulary - 1}`);
    return tokens;
  }

  function mendFine(): Int32Array[] {
    const count = fine_acoustics_config.n_fine_codebooks;
    const array = given.fine_prompt;
    const rows = array && asRows('fine_prompt', array, count);
    if (!rows)
      throw cannot(
        array ? `fine_prompt has shape [${array.shape.join(', ')}]` : 'no fine_prompt',
        `${count} rows of codes`,
      );
    const frames = rows[0]!.length;
    const whole = (t: number) => rows.every((row) => row[t]! >= 0 && row[t]! < codebook_size);
    let end = frames;
    while (end > 0 && !whole(end - 1)) end--;
    for (let t = 0; t < end; t++)
      if (!whole(t))
        throw cannot(`fine_prompt holds other codes in frame ${t}`, `codes from 0 to ${codebook_size - 1}`);
    if (end === 0 || frames - end > MOST_CUT * frames)
      throw cannot(
        `${frames - end} of ${frames} frames of fine_prompt with other codes`,
        `codes from 0 to ${codebook_size - 1}`,
      );
    if (end < frames)
      say(
        `cut ${many(frames - end, 'frame')} with codes outside 0 to ${codebook_size - 1} from the end of fine_prompt`,
      );
    return rows.map((row) => row.slice(0, end));
  }

  /** The coarse codes lie in the first rows of fine_prompt too; these stand in for any others. */
  function mendCoarse(): Int32Array[] {
    const count = coarse_acoustics_config.n_coarse_codebooks;
    const array = given.coarse_prompt;
    const own = fine.slice(0, count);
    const rows = array && (asRows('coarse_prompt', array, count) ?? interleaved(array, count));
    const bare = rows && withoutOffsets(rows);
    if (!bare) {
      const what = !array ? 'was missing' : rows ? 'held other codes' : `had shape [${array.shape.join(', ')}]`;
      say(`took coarse_prompt, which ${what}, from the first ${count} rows of fine_prompt`);
      return own;
    }
    const [frames, fineFrames] = [bare[0]!.length, own[0]!.length];
    const shared = Math.min(frames, fineFrames);
    if (shared < (1 - MOST_CUT) * Math.max(frames, fineFrames))
      throw cannot(`${frames} frames in coarse_prompt and ${fineFrames} in fine_prompt`, 'the same sound in both');
    if (frames > shared)
      say(`cut ${many(frames - shared, 'frame')} from the end of coarse_prompt, to the ${shared} of fine_prompt`);
    if (fineFrames > shared)
      say(`cut ${many(fineFrames - shared, 'frame')} from the end of fine_prompt, to the ${shared} of coarse_prompt`);
    fine = fine.map((row) => row.slice(0, shared));
    const differ = bare.reduce(
      (sum, row, c) => sum + row.subarray(0, shared).filter((code, t) => code !== fine[c]![t]).length,
      0,
    );
    if (differ > 0) say(`put the codes of fine_prompt in place of ${many(differ, 'other code')} of coarse_prompt`);
    return fine.slice(0, count);
  }

  /** Rows of codes, with what is told; undefined where the shape is no table of so many rows. */
  function asRows(prompt: Prompt, { data, shape }: IntegerArray, count: number): Int32Array[] | undefined {
    const [height = 0, width = 0, ...deeper] = shape.slice(shape.findIndex((length) => length !== 1));
    if (deeper.length > 0 || height * width !== data.length) return undefined;
    // EnCodec's higher bandwidths have more codebooks than Bark reads.
    const more = height > count && height <= MOST_CODEBOOKS && width !== count;
    if (more) say(`took the first ${count} of the ${height} rows of ${prompt}`);
    if (more || height === count)
      return Array.from({ length: count }, (_, c) => data.slice(c * width, (c + 1) * width));
    if (width !== count) return undefined;
    say(`transposed ${prompt}, which had shape [${height}, ${width}]`);
    return Array.from({ length: count }, (_, c) => Int32Array.from({ length: height }, (_, t) => data[t * width + c]!));
  }

  /** One row of ids as the coarse model draws them, codebook after codebook in each frame. */
  function interleaved({ data, shape }: IntegerArray, count: number): Int32Array[] | undefined {
    if (Math.max(0, ...shape) !== data.length || data.length % count !== 0) return undefined;
    const rows = Array.from({ length: count }, (_, c) => data.filter((_, i) => i % count === c));
    if (!rows.every((row, c) => within(row, vocabulary + c * codebook_size))) return undefined;
    say(`made ${count} rows of coarse_prompt, which was one of interleaved ids`);
    return rows;
  }

  /** Codes from 0, where they begin at 0, or at their place in the coarse model's vocabulary. */
  function withoutOffsets(rows: Int32Array[]): Int32Array[] | undefined {
    if (rows.every((row) => within(row, 0))) return rows;
    for (const start of [0, vocabulary]) {
      if (!rows.every((row, c) => within(row, start + c * codebook_size))) continue;
      say(
        `made the codes of coarse_prompt begin at 0, not at ${rows.map((_, c) => start + c * codebook_size).join(' and ')}`,
      );
      return rows.map((row, c) => row.map((code) => code - start - c * codebook_size));
    }
    return undefined;
  }

  function within(row: Int32Array, from: number): boolean {
    return row.every((code) => code >= from && code < from + codebook_size);
  }

  /** Both begin with the sound; what is longer is cut at its end. */
  function mendLengths(): void {
    const rate = framesPerToken(generation);
    const [tokens, frames] = [semantic.length, fine[0]!.length];
    if (lastAlike(frames, tokens, rate)) return;
    const [shorter, longer] = [frames, tokens * rate].toSorted((a, b) => a - b) as [number, number];
    if (shorter < (1 - MOST_CUT) * longer)
      throw cannot(
        `${frames} frames for ${tokens} semantic tokens`,
        `about ${Math.round(tokens * rate)}, as this model has ${rate.toFixed(1)} frames a token`,
      );
    if (frames > tokens * rate) {
      const kept = Math.floor(tokens * rate);
      say(`cut ${many(frames - kept, 'frame')} from the end, to the ${kept} that ${tokens} semantic tokens last`);
      fine = fine.map((row) => row.slice(0, kept));
      coarse = coarse.map((row) => row.slice(0, kept));
    } else {
      const kept = Math.max(1, Math.round(frames / rate));
      say(`cut ${many(tokens - kept, 'semantic token')} from the end, to the ${kept} that ${frames} frames last`);
      semantic = semantic.slice(0, kept);
    }
  }
}

const MOST_CODEBOOKS = 32; // EnCodec's at 24 kbit/s

const many = (count: number, what: string) => `${count} ${what}${count === 1 ? '' : 's'}`;

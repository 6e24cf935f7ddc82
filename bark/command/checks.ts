// What can be told about a command's places before anything is opened, downloaded or loaded.

import { stat } from 'node:fs/promises';
import { checkFileWritable } from '../../runtime/host/check_writable.ts';
import { hubId } from '../../runtime/sources/hub/settings.ts';
import { checkWavName } from '../audio.ts';
import type { Values } from './arguments.ts';
import { UsageError } from './option_table.ts';
import { players } from './play.ts';

/** The file where nothing can play and none was named. */
export const FALLBACK = 'bark.wav';

const isUrl = (place: string) => /^(https?|file):/i.test(place);
const exists = async (path: string) => (await stat(path).catch(() => undefined)) !== undefined;

/**
 * Throws `UsageError` for a revision of what has none, and for a voice, a codec or a tokenizer that
 * can only be on this machine and is not. Whether the model itself is there is not a question of
 * usage.
 */
export async function checkPlaces(model: string | undefined, values: Values): Promise<void> {
  const { revision, voice } = values;
  for (const name of ['codec', 'tokenizer'] as const) {
    const place = values[name];
    if (place !== undefined && !isUrl(place) && !hubId.test(place) && !(await exists(place)))
      throw new UsageError(
        `--${name}: got ${JSON.stringify(place)}, which is not here, expected a folder, a URL or a model of the Hub, written org/name. Check the path.`,
      );
  }
  if (voice !== undefined && /\.npz$/i.test(voice) && !isUrl(voice) && !(await exists(voice)))
    throw new UsageError(
      `--voice: got ${JSON.stringify(voice)}, which is not here, expected the path of a .npz or one of the model's voices. Check the path; bark voices lists them.`,
    );
  if (revision === undefined || model === undefined) return;
  const kind = isUrl(model) ? 'URL' : (await exists(model)) ? 'folder' : '';
  if (kind !== '')
    throw new UsageError(
      `--revision: got ${JSON.stringify(revision)} with the ${kind} ${model}, expected a model of the Hub, such as suno/bark-small: a ${kind} has no revisions. Leave it out.`,
    );
}

/** Throws `UsageError` where the speech cannot be written, or could only be under a wrong name. */
export async function checkOutput({ output, json }: Values): Promise<void> {
  if (output === '-') {
    if (json) throw new UsageError('--json: got it with -o -, expected a file name: both write to standard output.');
    if (process.stdout.isTTY)
      throw new UsageError(
        '-o -: got a terminal as standard output, expected a pipe or a file. Write bark -o - "…" | aplay, or name a file.',
      );
    return;
  }
  if (output !== undefined) checkWavName(output, UsageError);
  else if (players().length > 0) return;
  await checkFileWritable(output ?? FALLBACK, UsageError);
}

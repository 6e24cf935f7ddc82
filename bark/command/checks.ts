// What can be told about a command's places before anything is opened, downloaded or loaded.

import { stat } from 'node:fs/promises';
import { checkFileWritable } from '../../runtime/host/check_writable.ts';
import { checkWavName } from '../audio.ts';
import type { Values } from './arguments.ts';
import { UsageError } from './option_table.ts';
import { players } from './play.ts';

/** The file where nothing can play and none was named. */
export const FALLBACK = 'bark.wav';

/** Throws `UsageError` for a revision of what has none. */
export async function checkRevision(model: string | undefined, { revision }: Values): Promise<void> {
  if (revision === undefined || model === undefined) return;
  const kind = /^(https?|file):/i.test(model) ? 'URL' : (await stat(model).catch(() => undefined)) ? 'folder' : '';
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

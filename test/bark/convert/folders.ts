// Models to convert, and where to.

import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as assert from 'uvu/assert';
import type { Checkpoint } from '../../../runtime/formats/checkpoint.ts';
import { InputError } from '../../../runtime/base/errors.ts';
import { openCheckpoint } from '../../../runtime/formats/open_checkpoint.ts';
import { openModelSource } from '../../../runtime/sources/open_source.ts';
import { type FolderOptions, writeModelFolder } from '../../fixtures/write_model.ts';
import { temporaryFolder as processFolder } from '../models.ts';
import type { Fixture } from '../../fixtures/fixture.ts';

export const SUNO = fileURLToPath(new URL('../../fixtures/suno/', import.meta.url));

export const fixture = JSON.parse(readFileSync(join(SUNO, 'model.json'), 'utf8')) as Fixture;

const ROOT = processFolder();

let folders = 0;

export function temporaryFolder(): string {
  const path = join(ROOT, String(folders++));
  mkdirSync(path);
  return path;
}

export const out = () => join(temporaryFolder(), 'out');

/** A folder in Hugging Face's layout. */
export async function folder(
  options: FolderOptions = {},
  from: Pick<Fixture, 'config' | 'generation_config' | 'formula' | 'texts'> = fixture,
): Promise<string> {
  const path = temporaryFolder();
  await writeModelFolder(path, from, { extras: false, ...options });
  return path;
}

export const open = async (path: string): Promise<Checkpoint> => openCheckpoint(await openModelSource(path));

export async function rejects(
  promise: Promise<unknown>,
  pattern: RegExp,
  kind: new (message: string) => Error = InputError,
): Promise<void> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof kind, `${String(error)} is a ${kind.name}`);
  assert.match((error as Error).message, pattern);
}

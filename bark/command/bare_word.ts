// `bark serve` speaks the word "serve", and `bark story.txt` the name of a file. Both are rarely
// meant: on a terminal the command asks, elsewhere it warns and speaks.

import { stat } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { nearestNames } from '../../runtime/base/messages.ts';
import { UsageError } from './option_table.ts';
import type { Progress } from './progress.ts';

const COMMANDS = ['voices', 'convert', 'doctor', 'bench'];
const FETCH = 'A model is fetched when it is named: bark -m suno/bark-small "…".';
const NO_SERVER = 'There is no server.';
const HELP = 'bark --help shows what there is.';

/** Words that are commands of other programs, and what there is here instead. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  help: HELP,
  version: 'bark --version shows it.',
  list: 'bark voices lists the voices.',
  ls: 'bark voices lists the voices.',
  models: FETCH,
  model: FETCH,
  download: FETCH,
  fetch: FETCH,
  pull: FETCH,
  install: FETCH,
  uninstall: HELP,
  update: HELP,
  upgrade: HELP,
  serve: NO_SERVER,
  server: NO_SERVER,
  api: NO_SERVER,
  info: 'bark doctor tells what this machine can do.',
  status: 'bark doctor tells what this machine can do.',
  check: 'bark doctor tells what this machine can do.',
  verify: 'bark doctor tells what this machine can do.',
  run: HELP,
  chat: HELP,
  say: 'The text comes without a command: bark "Hello."',
  speak: 'The text comes without a command: bark "Hello."',
  generate: 'The text comes without a command: bark "Hello."',
  tts: 'The text comes without a command: bark "Hello."',
  clone: 'A voice is the path of a .npz: bark -v me.npz "Hello."',
  login: 'The token of the Hub is taken from HF_TOKEN.',
  config: HELP,
  init: HELP,
  work: HELP,
  worker: HELP,
};

/** The command that was perhaps mistyped: one letter in six may be wrong, but not the first. */
const nearestCommand = (word: string): string | undefined =>
  nearestNames(word.toLowerCase(), COMMANDS, 1, Math.ceil(word.length / 6)).find(
    (command) => command[0] === word[0]!.toLowerCase(),
  );

/**
 * Whether these words, which are no command, look like one: a word as commands are, alone or before
 * paths and ids.
 */
export function looksLikeCommand([word = '', ...others]: readonly string[]): boolean {
  if (!/^[a-z]{2,12}$/i.test(word) || !others.every((other) => /^\S*[/.]\S+$/.test(other))) return false;
  return Object.hasOwn(ELSEWHERE, word.toLowerCase()) || nearestCommand(word) !== undefined;
}

/** What is doubtful about the text; undefined where nothing is. */
async function doubt(words: readonly string[], bareWord: string | undefined): Promise<string | undefined> {
  if (bareWord !== undefined) {
    const near = nearestCommand(bareWord);
    return `${bareWord}: got a word that looks like a command, expected ${COMMANDS.join(', ')} or a text. ${near ? `Did you mean bark ${near}?` : ELSEWHERE[bareWord.toLowerCase()]}`;
  }
  const [word = ''] = words;
  if (words.length !== 1 || !/^\S*[/.\\]\S*\w$/.test(word) || !(await stat(word).catch(() => undefined))?.isFile())
    return undefined;
  return `${word}: got the name of a file as the text, expected a text. To read the file: bark --file ${word}.`;
}

/** A terminal to ask on, or undefined. */
export interface Asking {
  readonly input: Readable;
  readonly signal: AbortSignal;
}

/** Asks or warns where the text was perhaps not meant as one. Throws `UsageError` for a no. */
export async function checkBareWord(
  words: readonly string[],
  bareWord: string | undefined,
  progress: Pick<Progress, 'warn' | 'ask'>,
  asking: Asking | undefined,
): Promise<void> {
  const doubtful = await doubt(words, bareWord);
  if (doubtful === undefined) return;
  const surely = `bark -- ${words.join(' ')}`;
  if (!asking) return progress.warn(`${doubtful} It is spoken; ${surely} is spoken without this warning.`);
  progress.ask(`${doubtful} Speak it? [y/N] `);
  if (!(await answer(asking))) throw new UsageError(`${doubtful} To speak it without a question: ${surely}`);
}

/** Whether the line that is typed begins with a y; the end of the input is a no. */
async function answer({ input, signal }: Asking): Promise<boolean> {
  const lines = createInterface({ input, signal });
  try {
    for await (const line of lines) return /^\s*y/i.test(line);
  } finally {
    lines.close();
  }
  signal.throwIfAborted();
  return false;
}

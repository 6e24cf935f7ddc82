// The text to speak, from the arguments, a file or standard input. Bytes that are no text in the
// encoding they claim are refused with their place: left out or replaced, they would change what
// is said without a word.

import { readFile } from 'node:fs/promises';
import { addAbortSignal } from 'node:stream';
import { UsageError } from './option_table.ts';

/** Throws `UsageError` for no text, for both sources at once, and for bytes that are no text. */
export async function readText(
  words: readonly string[],
  file: string | undefined,
  signal: AbortSignal,
): Promise<string> {
  if (words.length > 0 && file !== undefined)
    throw new UsageError('--file: got it with text in the arguments, expected one of them.');
  if (words.length === 0 && file === undefined && process.stdin.isTTY)
    throw new UsageError('bark: got no text, expected some: bark "Hello, my dog is cute". See bark --help.');
  const text =
    words.length > 0
      ? fromArguments(words)
      : file === undefined || file === '-'
        ? decodeText(await readStdin(signal))
        : decodeText(await readTextFile(file), file);
  if (text.trim() === '')
    throw new UsageError(
      `bark: got ${text === '' ? 'an empty text' : 'a text of white space'}, expected words to speak. See bark --help.`,
    );
  return text;
}

/** Node has decoded the arguments already, and put U+FFFD where they were no UTF-8. */
function fromArguments(words: readonly string[]): string {
  const broken = words.find((word) => word.includes('\ufffd'));
  if (broken !== undefined)
    throw new UsageError(
      `bark: got ${JSON.stringify(broken.slice(0, 80))}, where U+FFFD stands for bytes that are no UTF-8, expected text in UTF-8. Let the terminal send UTF-8, or pipe the text: … | iconv -f ${WESTERN} -t UTF-8 | bark`,
    );
  return words.join(' ');
}

async function readStdin(signal: AbortSignal): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of addAbortSignal(signal, process.stdin)) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

async function readTextFile(file: string): Promise<Buffer> {
  return readFile(file).catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError(
      `${file}: got ${cause.code === 'ENOENT' ? 'no such file' : cause.code === 'EISDIR' ? 'a folder' : cause.code}, expected a file with text. Check the path.`,
      { cause },
    );
  });
}

const WESTERN = 'WINDOWS-1252';

interface Encoding {
  readonly name: 'utf-8' | 'utf-16le' | 'utf-16be';
  readonly mark: readonly number[];
  /** U+FFFD, which the decoder puts where the bytes are wrong, as the text itself may have it. */
  readonly replacement: readonly number[];
}

const UTF8: Encoding = { name: 'utf-8', mark: [0xef, 0xbb, 0xbf], replacement: [0xef, 0xbf, 0xbd] };
const ENCODINGS: readonly Encoding[] = [
  UTF8,
  { name: 'utf-16le', mark: [0xff, 0xfe], replacement: [0xfd, 0xff] },
  { name: 'utf-16be', mark: [0xfe, 0xff], replacement: [0xff, 0xfd] },
];

/**
 * UTF-8, or UTF-16 where a byte-order mark says so; the mark is left out. `file` is undefined for
 * standard input. Throws `UsageError` at the first byte that is no text.
 */
export function decodeText(bytes: Uint8Array, file?: string): string {
  const marked = ENCODINGS.find(({ mark }) => startsWith(bytes, mark));
  const { name, replacement } = marked ?? UTF8;
  let offset = marked?.mark.length ?? 0;
  const text = new TextDecoder(name, { ignoreBOM: true }).decode(bytes.subarray(offset));
  let read = 0;
  let line = 1;
  for (const char of text) {
    const broken = char === '\ufffd' && !startsWith(bytes.subarray(offset), replacement);
    if (broken || char === '\0') {
      const before = [
        ...text
          .slice(Math.max(0, read - 40), read)
          .split('\n')
          .at(-1)!,
      ]
        .slice(-20)
        .join('');
      const place = `at offset ${offset}, line ${line}${before && ` (after ${JSON.stringify(before)})`}`;
      throw refused({ bytes, offset, place, file, encoding: marked });
    }
    offset += name === 'utf-8' ? Buffer.byteLength(char) : 2 * char.length;
    read += char.length;
    if (char === '\n') line++;
  }
  return text;
}

const startsWith = (bytes: Uint8Array, start: readonly number[]): boolean =>
  start.every((byte, i) => bytes[i] === byte);

interface Broken {
  bytes: Uint8Array;
  offset: number;
  place: string;
  file: string | undefined;
  encoding: Encoding | undefined;
}

function refused({ bytes, offset, place, file, encoding = UTF8 }: Broken): UsageError {
  const iconv = (from: string) =>
    file === undefined
      ? `… | iconv -f ${from} -t UTF-8 | bark`
      : `iconv -f ${from} -t UTF-8 ${/\s/.test(file) ? JSON.stringify(file) : file} | bark`;
  const label = file ?? 'standard input';
  const expected = 'expected text in UTF-8, or in UTF-16 with a byte-order mark';
  const byte = `0x${bytes[offset]!.toString(16).toUpperCase().padStart(2, '0')}`;
  const utf32 = startsWith(bytes, [0xff, 0xfe, 0, 0]) || startsWith(bytes, [0, 0, 0xfe, 0xff]);
  if (utf32) return new UsageError(`${label}: got text in UTF-32, ${expected}. Convert it: ${iconv('UTF-32')}`);
  if (encoding !== UTF8)
    return new UsageError(
      `${label}: got the byte ${byte} ${place}, where there is no whole character of ${encoding.name.toUpperCase()}, ${expected}. Is it damaged? Save it again as UTF-8.`,
    );
  if (bytes[offset] === 0)
    return new UsageError(
      `${label}: got the byte 0x00 ${place}, which is in no text, ${expected}. If it is UTF-16 without the mark: ${iconv(offset % 2 === 1 ? 'UTF-16LE' : 'UTF-16BE')}`,
    );
  return new UsageError(
    `${label}: got the byte ${byte} ${place}, which is no UTF-8, ${expected}. Convert it from the encoding that it has, for western European text: ${iconv(WESTERN)}`,
  );
}

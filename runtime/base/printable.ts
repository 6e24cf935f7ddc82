// Text from files and servers, made safe to print: control characters could move a terminal's
// cursor or hide what a message says.

/**
 * `text` without control characters. By default each is written out (as `\u001b`) and line breaks
 * stay, as error messages need. With `oneLine` each of them, line breaks included, becomes a single
 * U+FFFD, so that the length of `text` is still the number of columns that a progress line counts.
 */
export function printable(text: string, { oneLine = false }: { oneLine?: boolean } = {}): string {
  return oneLine
    ? text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '\ufffd')
    : text.replace(
        /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g,
        (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
      );
}

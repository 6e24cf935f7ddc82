// Where a JSON text stops being JSON. JSON.parse says it in other words on every engine, and on
// some not at all, so the position is found here.

const jsonBlank = /[ \t\r\n]*/y;
const jsonAtom = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null|[{}[\],:"]/y;
const jsonPlain = /[^"\\\u0000-\u001f]*/y;
const jsonEscape = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;

function skip(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : at;
}

/** Where the token that begins at `at` ends; `at` itself when none does. */
function jsonTokenEnd(text: string, at: number): number {
  let end = skip(jsonAtom, text, at);
  if (text[at] !== '"') return end;
  for (let run = -1; run !== end;) {
    run = end;
    end = skip(jsonEscape, text, skip(jsonPlain, text, end));
  }
  return text[end] === '"' ? end + 1 : at;
}

/**
 * Line and column of the first thing in `text` that is not JSON. JSON.parse's own words differ by
 * host and often lack them.
 */
export function jsonPosition(text: string): string {
  // What may come next, by one letter each: v value, k key, : , and the two closing brackets; ''
  // after the whole value.
  const closers: string[] = [];
  let wanted = 'v';
  let at = skip(jsonBlank, text, 0);
  for (let end: number; (end = jsonTokenEnd(text, at)) > at; at = skip(jsonBlank, text, end)) {
    const first = text[at]!;
    const kind = '{}[],:'.includes(first) ? first : 'v';
    const isKey = wanted.includes('k') && first === '"';
    if (!isKey && !wanted.includes(kind === '{' || kind === '[' ? 'v' : kind)) break;
    if (isKey) wanted = ':';
    else if (kind === ':') wanted = 'v';
    else if (kind === ',') wanted = closers.at(-1) === '}' ? 'k' : 'v';
    else if (kind === '{' || kind === '[') {
      closers.push(kind === '{' ? '}' : ']');
      wanted = kind === '{' ? 'k}' : 'v]';
    } else {
      if (kind !== 'v') closers.pop();
      wanted = closers.length > 0 ? `,${closers.at(-1)}` : '';
    }
  }
  const lines = text.slice(0, at).split('\n');
  return `line ${lines.length}, column ${lines.at(-1)!.length + 1}${at === text.length ? ', where the file ends' : ''}`;
}

// The text of a shader: its includes expanded, its bindings listed, its comments taken out. Plain
// functions over text; build.ts applies them to the files.

import { join } from 'node:path';
import type { PartialMessage } from 'esbuild';
import type { BindingKind, Shader, SourceRun } from '../runtime/compute/shader.ts';

const INCLUDE = /^#include "([^"]+)"\s*$/;
const BINDING = /@group\(0\)\s*@binding\((\d+)\)\s*var<\s*(uniform|storage)\s*(?:,\s*(read|read_write)\s*)?>\s*(\w+)/g;

/** A mistake in a .wgsl file, with its place as esbuild shows it. */
export class BuildError extends Error {
  readonly place: PartialMessage;
  constructor(file: string, line: number, column: number, text: string, lineText: string) {
    super(text);
    this.place = { text, location: { file: join('kernels', file), line, column, lineText } };
  }
}

/** Expands includes depth first; a file that was already included is left out. */
export function expand(
  file: string,
  read: (file: string) => string | undefined,
): { code: string; runs: SourceRun[]; files: string[] } {
  const out: string[] = [];
  const runs: SourceRun[] = [];
  const seen = new Set<string>();
  const visit = (name: string): void => {
    seen.add(name);
    let fresh = true;
    for (const [i, text] of (read(name) ?? '').split('\n').entries()) {
      const include = INCLUDE.exec(text)?.[1];
      if (include === undefined) {
        if (text.startsWith('#'))
          throw new BuildError(name, i + 1, 0, `unknown directive; expected #include "common/<file>.wgsl"`, text);
        if (fresh) runs.push({ at: out.length + 1, file: name, line: i + 1 });
        fresh = false;
        out.push(text);
        continue;
      }
      if (read(include) === undefined)
        throw new BuildError(name, i + 1, text.indexOf('"'), `there is no kernels/${include}`, text);
      if (!seen.has(include)) visit(include);
      fresh = true;
    }
  };
  visit(file);
  return { code: out.join('\n'), runs, files: [...seen] };
}

/** The bindings in the order of their numbers, which must run 0, 1, 2, … */
export function bindingsOf(file: string, code: string): { name: string; kind: BindingKind }[] {
  const found = [...code.matchAll(BINDING)].map((m) => ({
    index: Number(m[1]),
    name: m[4]!,
    kind: (m[2] === 'uniform' ? 'uniform' : m[3] === 'read_write' ? 'storage' : 'read-only-storage') as BindingKind,
  }));
  found.sort((a, b) => a.index - b.index);
  found.forEach((b, i) => {
    if (b.index !== i)
      throw new BuildError(
        file,
        1,
        0,
        `bindings are ${found.map((f) => f.index).join(', ')}; expected 0, 1, 2, … each once`,
        '',
      );
  });
  return found.map(({ name, kind }) => ({ name, kind }));
}

/**
 * The code without its comments: `//` to the end of the line, and block comments, which nest in
 * WGSL. Every newline stays, and so does the column of every token, so that a compiler's line and
 * column still point into the file. Only white space at the end of a line goes.
 */
export function withoutComments(code: string): string {
  let out = '';
  let depth = 0; // of block comments
  for (let i = 0; i < code.length; i++) {
    const pair = code.slice(i, i + 2);
    if (depth === 0 && pair === '//') {
      const end = code.indexOf('\n', i);
      if (end < 0) break;
      i = end;
      out += '\n';
    } else if (pair === '/*' || (depth > 0 && pair === '*/')) {
      depth += pair === '/*' ? 1 : -1;
      out += '  ';
      i++;
    } else out += depth > 0 && code[i] !== '\n' ? ' ' : code[i];
  }
  return out.replace(/[ \t]+$/gm, '');
}

/** An expanded shader to read: a line `// ---- kernels/<file>:<line>` wherever the file changes. */
export function withFileMarks({ code, runs }: Pick<Shader, 'code' | 'runs'>): string {
  const lines = code.split('\n');
  const parts = runs.map(({ at, file, line }, i) => {
    const end = (runs[i + 1]?.at ?? lines.length + 1) - 1;
    return [`// ---- kernels/${file}:${line}`, ...lines.slice(at - 1, end)].join('\n');
  });
  return `${parts.join('\n')}\n`;
}

/**
 * A shader that lies elsewhere and includes nothing: the bench has some. `file`, for errors, is its
 * path from this folder.
 */
export const shaderOf = (name: string, file: string, code: string): Shader => ({
  name,
  code,
  bindings: bindingsOf(file, code),
  runs: [{ at: 1, file, line: 1 }],
});

const SIGNATURE = /^export function (\w+)\(([^)]*)\): void \{/gm;

/** Exported functions of a text in AssemblyScript, and the names of their parameters. */
export const signatures = (text: string): Map<string, string[]> =>
  new Map(
    [...text.replace(/\/\/.*$/gm, '').matchAll(SIGNATURE)].map(([, name, list]) => [
      name!,
      [...list!.matchAll(/(\w+)\s*:/g)].map((m) => m[1]!),
    ]),
  );

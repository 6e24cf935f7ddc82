// The rules of the repository that the linter has no rule for: how full folders are, how long
// shaders and lines are, and that a name leads to its file.
// Needs: no device.

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { profilesOf } from './needs.ts';

const test = suite('house');
const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const TOP = ['runtime', 'kernels', 'encodec', 'bark', 'bench', 'test'];
const SOURCE = /\.(ts|mjs|js|wgsl|py)$/;

/** Source files as paths from the repository's root, without what a build writes. */
const files = TOP.flatMap((top) =>
  readdirSync(join(ROOT, top), { recursive: true, encoding: 'utf8' })
    .map((file) => `${top}/${file.replaceAll('\\', '/')}`)
    .filter((file) => SOURCE.test(file) && !file.endsWith('.gen.ts')),
).sort();
const linesOf = (file: string): string[] => readFileSync(join(ROOT, file), 'utf8').trimEnd().split(/\r?\n/);
const snakeCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** Fails with one offender a line. */
const none = (offenders: readonly string[], rule: string): void =>
  assert.is(offenders.length, 0, `${rule}\n${offenders.map((offender) => `  ${offender}`).join('\n')}`);

test('no folder has more than 15 source files', () => {
  const counts = new Map<string, number>();
  for (const file of files) counts.set(dirname(file), (counts.get(dirname(file)) ?? 0) + 1);
  // kernels/conv holds three operations, each with its variants.
  const full = [...counts].filter(([folder, count]) => count > 15 && !/^(test\b|kernels\/(common|conv)$)/.test(folder));
  none(
    full.map(([folder, count]) => `${folder}/: ${count} files`),
    'expected at most 15 source files in a folder:',
  );
});

test('no shader file is longer than 300 lines', () => {
  const long = files.filter((file) => /\.(wgsl|as\.ts)$/.test(file) && linesOf(file).length > 300);
  none(
    long.map((file) => `${file}: ${linesOf(file).length} lines`),
    'expected at most 300 lines in a .wgsl or .as.ts file:',
  );
});

test('lines of comment have at most 100 columns, lines of code at most 120', () => {
  const long = files
    .filter((file) => /\.(ts|mjs|js|wgsl)$/.test(file))
    .flatMap((file) =>
      linesOf(file).flatMap((line, i) => {
        const limit = /^\s*(\/\/|\/\*|\*( |\/|$))/.test(line) ? 100 : 120;
        const columns = [...line].length;
        const data = limit === 120 && file.startsWith('test/'); // tables of bytes and messages
        return columns > limit && !data && !unbreakable(line)
          ? [`${file}:${i + 1}: ${columns} columns, at most ${limit}`]
          : [];
      }),
    );
  none(long, 'expected shorter lines:');
});

/**
 * Whether a line is too long only by one string, template or regular expression, which a formatter
 * cannot break: without that literal's text it fits. A comment line that is an address, or a
 * command to copy, cannot be broken either.
 */
function unbreakable(line: string): boolean {
  if (/^\s*(\/\/|\*) {2,}\S/.test(line) || /^\s*(\/\/|\*) \S+$/.test(line)) return true;
  const literals =
    line.match(/'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`|`.*$|^.*`|\/(?:[^/\\]|\\.)+\//g) ?? [];
  return literals.some((literal) => [...line].length - [...literal].length <= 120);
}

test('each kernel that gpt.ts calls has a shader of its own name', () => {
  const text = readFileSync(join(ROOT, 'bark/gpt/gpt.ts'), 'utf8');
  const imports = [...text.matchAll(/import (?:type )?\{([^}]*)\} from '\.\.\/\.\.\/kernels\/(\w+)\/(\w+)\.ts'/g)];
  const called = imports.flatMap(([, names, folder]) =>
    names!
      .split(',')
      .map((name) => name.trim())
      .filter((name) => /^[a-z]\w*$/.test(name) && new RegExp(`\\b${name}\\(`).test(text))
      .map((name) => ({ name, shader: `kernels/${folder}/${snakeCase(name)}.wgsl` })),
  );
  const names = called.map(({ name }) => name);
  for (const name of ['attention', 'attentionDecode', 'embedding', 'embeddingDecode', 'layerNorm', 'linear'])
    assert.ok(names.includes(name), `gpt.ts imports and calls ${name} from kernels/`);
  for (const name of ['linearDecode', 'qkv', 'qkvDecode'])
    assert.ok(names.includes(name), `gpt.ts imports and calls ${name} from kernels/`);
  none(
    called.filter(({ shader }) => !existsSync(join(ROOT, shader))).map(({ name, shader }) => `${name}: no ${shader}`),
    'expected the shader of each kernel function at kernels/<folder>/<snake_case name>.wgsl:',
  );
});

test('each test file says what it needs', () => {
  const silent = files
    .filter((file) => file.endsWith('.test.ts'))
    .flatMap((file) => {
      try {
        profilesOf(join(ROOT, file));
        return [];
      } catch (error) {
        return [(error as Error).message];
      }
    });
  none(silent, "expected a line '// Needs: …' (test/needs.ts):");
});

test('each link in a page leads to a file of the repository', () => {
  const pages = spawnSync('git', ['ls-files', '*.md'], { cwd: ROOT, encoding: 'utf8' }).stdout.split('\n');
  const dead = pages
    .filter(Boolean)
    .flatMap((page) =>
      [...readFileSync(join(ROOT, page), 'utf8').matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)[^)]*\)/g)]
        .filter(([, link]) => !existsSync(join(ROOT, dirname(page), link!)))
        .map(([, link]) => `${page}: ${link}`),
    );
  none(dead, 'expected every link of a page to lead to a file:');
});

test.run();

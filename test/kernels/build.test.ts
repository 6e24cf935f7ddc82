// The WGSL build: includes, bindings, and that every mistake is told with the file, line and column
// it was made in.
// Needs: no device.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { build, type BuildFailure, type Message } from 'esbuild';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { printed, wgsl } from '../../kernels/build.ts';
import { shader } from '../../kernels/shaders.ts';
import { shaders } from '../../kernels/wgsl.gen.ts';
import { bindingsOf, expand, withFileMarks, withoutComments } from '../../kernels/expand.ts';
import { describeMessages, locate, type Shader } from '../../runtime/compute/shader.ts';

const test = suite('build');

const from =
  (files: Record<string, string>) =>
  (file: string): string | undefined =>
    files[file];

test('includes are expanded depth first, each once, and every line knows where it was written', () => {
  const files = {
    'a.wgsl': '// a1\n#include "common/b.wgsl"\n// a3\n#include "common/c.wgsl"\n// a5',
    'common/b.wgsl': '// b1\n#include "common/c.wgsl"\n// b3\n',
    'common/c.wgsl': '// c1\n// c2',
  };
  const { code, runs, files: used } = expand('a.wgsl', from(files));
  assert.equal(code.split('\n'), ['// a1', '// b1', '// c1', '// c2', '// b3', '', '// a3', '// a5']);
  assert.equal(used, ['a.wgsl', 'common/b.wgsl', 'common/c.wgsl']);
  for (const [i, line] of code.split('\n').entries()) {
    const at = locate(runs, i + 1);
    assert.is(files[at.file as keyof typeof files].split('\n')[at.line - 1], line, `line ${i + 1}`);
  }
});

test('files that include each other end', () => {
  const files = {
    'a.wgsl': '#include "common/b.wgsl"\n// a',
    'common/b.wgsl': '#include "common/b.wgsl"\n#include "a.wgsl"\n// b',
  };
  assert.is(expand('a.wgsl', from(files)).code, '// b\n// a');
});

test('bindings are listed in the order of their numbers, with what they are', () => {
  const code = `
    @group(0) @binding(2) var<storage, read_write> y: array<f32>;
    @group(0) @binding(0) var<uniform>             params: Params;
    @group(0)  @binding(1)
      var<storage,read> x: array<vec4<f32>>;
    @group(0) @binding(3) var<storage> z: array<u32>;`;
  assert.equal(bindingsOf('a.wgsl', code), [
    { name: 'params', kind: 'uniform' },
    { name: 'x', kind: 'read-only-storage' },
    { name: 'y', kind: 'storage' },
    { name: 'z', kind: 'read-only-storage' },
  ]);
  assert.throws(
    () => bindingsOf('a.wgsl', '@group(0) @binding(1) var<uniform> p: P;'),
    /bindings are 1; expected 0, 1, 2, … each once/,
  );
  assert.throws(
    () => bindingsOf('a.wgsl', '@group(0) @binding(0) var<uniform> p: P; @group(0) @binding(0) var<uniform> q: P;'),
    /bindings are 0, 0;/,
  );
});

test('comments go; every line and every column of code stays', () => {
  const code = [
    'let a = 1; // one',
    '// alone',
    '  let b = 2 /* inside /* twice */ still */ + 3;',
    '/* over',
    '   two lines */ let c = a / b; // / // /*',
    'let d = a; /',
    '/let e = c;',
  ];
  assert.equal(withoutComments(code.join('\n')).split('\n'), [
    'let a = 1;',
    '',
    `  let b = 2 ${' '.repeat('/* inside /* twice */ still */'.length)} + 3;`,
    '',
    `${' '.repeat('   two lines */'.length)} let c = a / b;`,
    'let d = a; /',
    '/let e = c;',
  ]);
  assert.is(withoutComments('let a = 1; // the last line'), 'let a = 1;');
});

test('what ships are the tokens that were written, each in its place', () => {
  const token = /[\w.]+|[^\s\w]/g;
  for (const name of Object.keys(shaders)) {
    const { code, runs } = shader(name);
    assert.is(/\/\/|\/\*/.test(code), false, name);
    const written = printed(name).split('\n');
    const lines = code.split('\n');
    let at = 0; // of the shipped line that follows
    for (const line of written.slice(0, -1)) {
      if (line.startsWith('// ---- kernels/')) continue;
      const kept = line.replace(/\/\/.*$/, '').trimEnd();
      assert.is(lines[at], kept, `${name}:${at + 1}`);
      assert.equal([...(lines[at++] ?? '').matchAll(token)].length, [...kept.matchAll(token)].length);
    }
    assert.is(at, lines.length, name);
    assert.is(written.filter((line) => line.startsWith('// ---- kernels/')).length, runs.length, name);
  }
});

test('a printed shader is marked wherever the file changes, and a wrong name has near ones', () => {
  const files = { 'a.wgsl': '// a1\n#include "common/b.wgsl"\n// a3', 'common/b.wgsl': '// b1' };
  assert.is(
    withFileMarks(expand('a.wgsl', from(files))),
    '// ---- kernels/a.wgsl:1\n// a1\n// ---- kernels/common/b.wgsl:1\n// b1\n// ---- kernels/a.wgsl:3\n// a3\n',
  );
  assert.match(printed('linear_decode'), /^\/\/ ---- kernels\/linear\/linear_decode\.wgsl:1\n/);
  assert.throws(() => printed('linear_decod'), /got the shader 'linear_decod', expected one of .*linear_decode/);
});

/** What building these files tells; the first is the shader. `null`: no compiler to check with. */
async function errorsOf(files: Record<string, string>, device: GPUDevice | null): Promise<Message[]> {
  const folder = mkdtempSync(join(tmpdir(), 'wgsl-'));
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    await build({
      entryPoints: [join(folder, Object.keys(files)[0]!)],
      write: false,
      outdir: folder,
      plugins: [wgsl(device)],
      logLevel: 'silent',
    });
    return [];
  } catch (error) {
    return (error as BuildFailure).errors;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const place = ({ location }: Message): string => `${basename(location!.file)}:${location!.line}:${location!.column}`;

test('a missing include and an unknown directive name file, line and column', async () => {
  const [missing] = await errorsOf({ 'a.wgsl': '// one\n#include "common/none.wgsl"\n' }, null);
  assert.is(place(missing!), 'a.wgsl:2:9');
  assert.is(missing!.text, 'there is no kernels/common/none.wgsl');
  assert.is(missing!.location!.lineText, '#include "common/none.wgsl"');
  for (const line of ['#define X 1', "#include 'common/state.wgsl'", '#include common/state.wgsl']) {
    const [unknown] = await errorsOf({ 'a.wgsl': `// one\n// two\n${line}\n` }, null);
    assert.is(place(unknown!), 'a.wgsl:3:0');
    assert.match(unknown!.text, /unknown directive; expected #include "common\/<file>\.wgsl"/);
  }
});

const main = '@compute @workgroup_size(1) fn main() { _ = gelu(vec4<f32>(1.0)); }';
/** Dawn's null backend, as the build uses it; absent where npm webgpu has no binary. */
const gpu = await import('webgpu').then(
  (m) => m.create(['backend=null']),
  () => null,
);
const adapter = await gpu?.requestAdapter();
const device = (await adapter?.requestDevice()) ?? null;

test('WGSL errors name the place before the includes were expanded', async () => {
  if (!device) return console.log('skip: npm webgpu does not load here, so WGSL is not checked');
  assert.equal(await errorsOf({ 'good.wgsl': `// one\n#include "common/gelu.wgsl"\n${main}\n` }, device), []);
  const [after] = await errorsOf(
    { 'after.wgsl': `// one\n#include "common/gelu.wgsl"\n${main}\n  fn wrong() -> f32 { return nonsense; }\n` },
    device,
  );
  assert.is(place(after!), 'after.wgsl:4:29');
  assert.match(after!.text, /unresolved value 'nonsense'/);
  assert.match(after!.location!.lineText, /return nonsense/);
  // common/weights.wgsl reads an array `w` that its includer declares
  const [within] = await errorsOf(
    { 'within.wgsl': '// one\n// two\n#include "common/weights.wgsl"\n@compute @workgroup_size(1) fn main() { }\n' },
    device,
  );
  assert.is(basename(within!.location!.file), 'weights.wgsl');
  assert.match(within!.text, /unresolved value 'w'/);
  assert.match(within!.location!.lineText.slice(within!.location!.column), /^w\[/);
});

test("messages of a user's compiler point to the same place", () => {
  const shader: Pick<Shader, 'code' | 'runs'> = {
    code: 'aaa\nbbb\nccc',
    runs: [
      { at: 1, file: 'x.wgsl', line: 1 },
      { at: 2, file: 'common/y.wgsl', line: 5 },
    ],
  };
  const text = describeMessages(shader, [
    { lineNum: 3, linePos: 2, message: 'bad', type: 'error', offset: 0, length: 1 } as GPUCompilationMessage,
  ]);
  assert.is(text, 'kernels/common/y.wgsl:6:2: bad\n  ccc\n   ^');
  assert.equal(locate([], 4), { file: '?', line: 4 });
});

test.after(() => {
  device?.destroy();
  void [gpu, adapter]; // Dawn's instance must outlive its devices, and what nothing names is collected
});
test.run();

// Turns the shaders below kernels/ (the .wgsl files with an entry point) into kernels/wgsl.gen.ts,
// which tsx, Deno, bundlers and browsers all import alike (tsx cannot import .wgsl). An esbuild
// plugin expands `#include "common/x.wgsl"` (once a shader), lists the bindings, and has Tint on
// Dawn's null backend check every shader, so that a typing error is reported here with file, line
// and column and not on a user's GPU. Where npm webgpu has no binary for the host, the check is
// left out and said so.

import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type PartialMessage, type Plugin } from 'esbuild';
import { locate, type BindingKind, type Shader, type SourceRun } from '../runtime/compute/shader.ts';

const KERNELS = dirname(fileURLToPath(import.meta.url));
const INCLUDE = /^#include "([^"]+)"\s*$/;
const BINDING = /@group\(0\)\s*@binding\((\d+)\)\s*var<\s*(uniform|storage)\s*(?:,\s*(read|read_write)\s*)?>\s*(\w+)/g;

class BuildError extends Error {
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
 * A shader that lies elsewhere and includes nothing: the bench has some. `file`, for errors, is its
 * path from this folder.
 */
export const shaderOf = (name: string, file: string, code: string): Shader => ({
  name,
  code,
  bindings: bindingsOf(file, code),
  runs: [{ at: 1, file, line: 1 }],
});

/** A device of Dawn's null backend: it validates WGSL and runs nothing. */
async function validator(): Promise<GPUDevice | null> {
  const gpu = await import('webgpu').then(
    (m) => m.create(['backend=null', 'enable-dawn-features=allow_unsafe_apis']),
    () => null,
  );
  const adapter = await gpu?.requestAdapter();
  if (!adapter) return null;
  keepAlive.push(gpu);
  const wanted = ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix', 'subgroup-size-control'];
  return adapter.requestDevice({ requiredFeatures: wanted.filter((f) => adapter.features.has(f)) as GPUFeatureName[] });
}
const keepAlive: unknown[] = []; // Dawn's instance must outlive its devices

async function check(device: GPUDevice | null, shader: Shader): Promise<PartialMessage[]> {
  if (!device) return [];
  device.pushErrorScope('validation');
  const info = await device.createShaderModule({ code: shader.code }).getCompilationInfo();
  await device.popErrorScope();
  const lines = shader.code.split('\n');
  return info.messages
    .filter((m) => m.type === 'error')
    .map((m) => {
      const at = locate(shader.runs, m.lineNum);
      const location = {
        file: join('kernels', at.file),
        line: at.line,
        column: Math.max(0, m.linePos - 1),
        length: m.length,
        lineText: lines[m.lineNum - 1] ?? '',
      };
      return { text: m.message, location };
    });
}

/** esbuild plugin: `import shader from './linear/linear.wgsl'` gives a `Shader`. */
export function wgsl(device: GPUDevice | null): Plugin {
  return {
    name: 'wgsl',
    setup(esbuild) {
      esbuild.onLoad({ filter: /\.wgsl$/ }, async ({ path }) => {
        const file = relative(KERNELS, path);
        const read = (name: string): string | undefined =>
          existsSync(join(KERNELS, name)) ? readFileSync(join(KERNELS, name), 'utf8') : undefined;
        try {
          const { code, runs, files } = expand(file, read);
          const shader: Shader = { name: nameOf(file), code, runs, bindings: bindingsOf(file, code) };
          const errors = await check(device, shader);
          return {
            contents: JSON.stringify(shader),
            loader: 'json',
            errors,
            watchFiles: files.map((f) => join(KERNELS, f)),
          };
        } catch (error) {
          if (error instanceof BuildError) return { errors: [error.place] };
          throw error;
        }
      });
    },
  };
}

/**
 * Files with an entry point, as paths from this folder; the others are pieces that they include.
 */
function entryPoints(): string[] {
  const files = readdirSync(KERNELS, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.wgsl'))
    .map((file) => file.replaceAll('\\', '/'));
  const shaders = files.filter((file) => /^@compute\b/m.test(readFileSync(join(KERNELS, file), 'utf8'))).sort();
  const twice = shaders.find((file, i) => shaders.findIndex((other) => nameOf(other) === nameOf(file)) !== i);
  if (twice)
    throw new Error(
      `kernels/${twice}: got a second shader of this name, expected one: shaders are found by the name of their file.`,
    );
  return shaders;
}

/** A shader's name is that of its file: linear/linear_decode.wgsl is 'linear_decode'. */
const nameOf = (file: string): string => basename(file, '.wgsl');

export async function buildShaders(): Promise<void> {
  const device = await validator();
  if (!device) console.error('kernels/build: no WGSL compiler on this host; the shaders are not checked');
  const files = entryPoints();
  await build({
    stdin: {
      resolveDir: KERNELS,
      contents:
        files.map((file) => `import ${nameOf(file)} from './${file}';`).join('\n') +
        `\nexport const shaders = { ${files.map(nameOf).join(', ')} };`,
    },
    bundle: true,
    format: 'esm',
    outfile: join(KERNELS, 'wgsl.gen.ts'),
    allowOverwrite: true,
    plugins: [wgsl(device)],
    banner: { js: '// @ts-nocheck\n// Generated by kernels/build.ts from the .wgsl files of this folder.' },
    logLevel: 'warning',
  });
  device?.destroy();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await buildShaders().catch((error: Error) => {
    if (!('errors' in error)) console.error(`kernels/build: ${error.message}`); // esbuild has printed its own
    process.exit(1);
  });
  process.exit(0); // Dawn's null instance would keep the process for a while
}

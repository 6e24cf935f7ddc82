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
import { nearestNames } from '../runtime/base/messages.ts';
import { locate, type Shader } from '../runtime/compute/shader.ts';
import { buildProcessorKernels, buildWorker } from './build_processor.ts';
import { bindingsOf, BuildError, expand, withFileMarks, withoutComments } from './expand.ts';

const KERNELS = dirname(fileURLToPath(import.meta.url));

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

const readKernel = (file: string): string | undefined =>
  existsSync(join(KERNELS, file)) ? readFileSync(join(KERNELS, file), 'utf8') : undefined;

/** A file's code: comments would be half of the browser's file. */
function readCode(file: string): string | undefined {
  const text = readKernel(file);
  return text === undefined ? undefined : withoutComments(text);
}

/** Half of the indentation; shaders.ts doubles it, so that columns in messages stay right. */
const halfIndented = (code: string): string =>
  code.replace(/^(?: {2})+/gm, (spaces) => spaces.slice(spaces.length / 2));

/**
 * esbuild plugin: `import shader from './linear/linear.wgsl'` gives a `WrittenShader`. The text of
 * a file that several shaders include is in the bundle once.
 */
export function wgsl(device: GPUDevice | null): Plugin {
  return {
    name: 'wgsl',
    setup(esbuild) {
      esbuild.onResolve({ filter: /^text:/ }, ({ path }) => ({ path: path.slice(5), namespace: 'text' }));
      esbuild.onLoad({ filter: /./, namespace: 'text' }, ({ path }) => ({
        contents: halfIndented(readCode(path)!),
        loader: 'text',
      }));
      esbuild.onLoad({ filter: /\.wgsl$/ }, async ({ path }) => {
        const file = relative(KERNELS, path).replaceAll('\\', '/');
        try {
          const { code, runs, files } = expand(file, readCode);
          const shader: Shader = { name: nameOf(file), code, runs, bindings: bindingsOf(file, code) };
          const errors = await check(device, shader);
          const texts = files.map((name, i) => `import t${i} from ${JSON.stringify(`text:${name}`)};`);
          const sources = files.map((name, i) => `${JSON.stringify(name)}: t${i}`);
          const { code: _, ...rest } = shader;
          return {
            contents: `${texts.join('\n')}\nexport default { ...${JSON.stringify(rest)}, sources: { ${sources.join(', ')} } };`,
            loader: 'js',
            resolveDir: KERNELS,
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

/**
 * What `npm run wgsl -- --print linear_decode` prints: the shader with its includes and comments.
 */
export function printed(name: string): string {
  const files = entryPoints();
  const file = files.find((f) => nameOf(f) === name);
  if (file) return withFileMarks(expand(file, readKernel));
  const names = files.map(nameOf);
  const near = nearestNames(name, names);
  throw new Error(`--print: got the shader '${name}', expected one of ${(near.length > 0 ? near : names).join(', ')}.`);
}

async function main([flag, name = '', ...more]: string[]): Promise<number> {
  if (flag === undefined) {
    await buildShaders();
    await buildWorker();
    await buildProcessorKernels();
    return 0;
  }
  if (flag !== '--print' || more.length > 0) {
    console.error(`kernels/build: got '${flag}', expected nothing, or --print and the name of a shader.`);
    return 2;
  }
  try {
    process.stdout.write(printed(name));
    return 0;
  } catch (error) {
    console.error((error as Error).message);
    return 2;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const code = await main(process.argv.slice(2)).catch((error: Error) => {
    if (!('errors' in error)) console.error(`kernels/build: ${error.message}`); // esbuild has printed its own
    return 1;
  });
  process.exit(code); // Dawn's null instance would keep the process for a while
}

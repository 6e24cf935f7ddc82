// Makes the package in dist/ from the sources: bundles for Node and Deno that share their chunks,
// the bench among them, one file for browsers, and type declarations. kernels/build.ts runs before
// it and makes the shaders.

import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type BuildOptions, type Plugin } from 'esbuild';
import { compileProcessor, packed } from '../kernels/build_processor.ts';
import { shaderOf, signatures } from '../kernels/expand.ts';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const BENCH = ['bench/run.ts', 'bench/suites/load_child.ts'];
const DOORS = ['bark/index.ts', 'runtime/index.ts', 'encodec/index.ts'];
const COMMON: BuildOptions = {
  absWorkingDir: ROOT,
  bundle: true,
  format: 'esm',
  target: 'es2022',
  logLevel: 'warning',
  outbase: ROOT,
};

// In the repository the bench builds its own shaders from their .wgsl files when it starts. The
// package has neither those files nor the builders, so what they make is put into the bundle.
const benchShaders: Plugin = {
  name: 'bench-shaders',
  setup(bundler) {
    bundler.onLoad({ filter: /[\\/]bench[\\/]shaders\.ts$/ }, async ({ path }) => {
      const folder = join(dirname(path), 'shaders');
      const shaders = readdirSync(folder)
        .filter((file) => file.endsWith('.wgsl'))
        .map((file) => {
          const name = file.slice(0, -'.wgsl'.length);
          return [
            name,
            shaderOf(`bench ${name}`, `../bench/shaders/${file}`, readFileSync(join(folder, file), 'utf8')),
          ];
        });
      const kernels = readdirSync(folder)
        .filter((file) => file.endsWith('.as.ts'))
        .map((file) => join(folder, file));
      const parameters = kernels.flatMap((file) => [...signatures(readFileSync(file, 'utf8'))]);
      const [plain, relaxed] = [
        packed(await compileProcessor(kernels, false)),
        packed(await compileProcessor(kernels, true)),
      ];
      return {
        contents: `
          import { inflated } from '../kernels/shaders.ts';
          const shaders = ${JSON.stringify(Object.fromEntries(shaders))};
          const module = { name: 'bench', bytes: (relaxed) => inflated(relaxed ? '${relaxed}' : '${plain}') };
          for (const [name, parameters] of ${JSON.stringify(parameters)})
            Object.assign(shaders[name], { name, processor: { module, parameters } });
          export const benchShader = (name) => shaders[name];`,
        resolveDir: dirname(path),
      };
    });
  },
};

/** For Node and Deno: packages stay imports, so that a user's own copies and updates count. */
export const HOST_BUNDLES: BuildOptions = {
  ...COMMON,
  entryPoints: [...DOORS, 'bark/command/cli.ts', ...BENCH],
  outdir: 'dist',
  splitting: true,
  platform: 'node',
  packages: 'external',
  plugins: [benchShaders],
};

// Node's modules and npm `webgpu` are imported only outside a browser, through import(), but
// bundlers would still try to resolve their names.
const withoutNode: Plugin = {
  name: 'without-node',
  setup(bundler) {
    bundler.onResolve({ filter: /^(node:|webgpu$)/ }, ({ path }) => ({ path, namespace: 'absent' }));
    bundler.onLoad({ filter: /.*/, namespace: 'absent' }, ({ path }) => ({
      contents: `throw new Error(${JSON.stringify(`${path} is not there in a browser.`)});`,
    }));
  },
};

// Parts of zip.js that nothing here reaches: its ciphers, since encrypted archives are refused
// before (runtime/formats/zip.ts), and its workers, which are turned off there. The names that
// other parts of it import from them stay.
const UNUSED: Readonly<Record<string, readonly string[]>> = {
  'aes-crypto-stream.js': ['AESDecryptionStream', 'AESEncryptionStream', 'setAESEngine'],
  'zip-crypto-stream.js': ['ZipCryptoDecryptionStream', 'ZipCryptoEncryptionStream'],
  'codec-worker-web.js': [],
};
const withoutUnused: Plugin = {
  name: 'without-unused',
  setup(bundler) {
    bundler.onLoad(
      { filter: /zip\.js[\\/].*[\\/](aes-crypto-stream|zip-crypto-stream|codec-worker-web)\.js$/ },
      ({ path }) => ({
        contents: UNUSED[basename(path)]!.map((name) => `export const ${name} = undefined;`).join('\n'),
      }),
    );
  },
};

/** For browsers: one file that imports nothing, for a script tag as for a bundler. */
export const BROWSER_BUNDLE: BuildOptions = {
  ...COMMON,
  entryPoints: { index: 'bark/index.ts' },
  outdir: 'dist/browser',
  platform: 'browser',
  minify: true,
  plugins: [withoutNode, withoutUnused],
};

function declarations(): void {
  // The project's own tsconfig.json also covers tests and builds nothing; this one lives only as
  // long as the build.
  const config = join(ROOT, 'dist', 'tsconfig.json');
  const options = { noEmit: false, declaration: true, emitDeclarationOnly: true, rootDir: '..', outDir: 'types' };
  writeFileSync(
    config,
    JSON.stringify({
      extends: '../tsconfig.json',
      compilerOptions: options,
      files: DOORS.map((door) => `../${door}`),
      include: [],
    }),
  );
  const compiler = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc');
  const { status } = spawnSync(process.execPath, [compiler, '-p', config], { cwd: ROOT, stdio: 'inherit' });
  rmSync(config);
  if (status !== 0) throw new Error('the declarations could not be made; the messages are above.');
  // Users' compilers look for ./x.js beside ./x.d.ts.
  const types = join(ROOT, 'dist', 'types');
  for (const file of readdirSync(types, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.d.ts'),
  )) {
    const text = readFileSync(join(types, file), 'utf8');
    writeFileSync(
      join(types, file),
      text.replace(/((?:from|import)\s*\(?\s*['"]\.{1,2}\/[^'"]+)\.ts(['"])/g, '$1.js$2'),
    );
  }
}

export async function buildPackage(): Promise<void> {
  rmSync(join(ROOT, 'dist'), { recursive: true, force: true });
  mkdirSync(join(ROOT, 'dist'));
  await Promise.all([build(HOST_BUNDLES), build(BROWSER_BUNDLE)]);
  chmodSync(join(ROOT, 'dist', 'bark', 'command', 'cli.js'), 0o755);
  declarations();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await buildPackage().catch((error: Error) => {
    console.error(`build: ${error.message}`);
    process.exit(1);
  });
}

// Gets what the peers need, when they are asked for: onnxruntime-node and onnxruntime-web by npm,
// and a Python with torch, transformers and onnx, each into a folder of its own in the system's
// temporary one. The package itself depends on none of it. BARK_BENCH_PYTHON names a Python that
// has them.

import { execFile } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CACHE } from '../model/make_checkpoint.ts';

export const ORT_VERSION = '1.30.0';
const PYTHON_PACKAGES = ['torch', 'transformers', 'safetensors', 'numpy', 'onnx', 'onnxscript'];

const run = promisify(execFile);

/** What a command said, or an error that says what was being done and how it ended. */
export async function command(doing: string, program: string, args: readonly string[], advice = ''): Promise<string> {
  try {
    return (await run(program, args, { maxBuffer: 2 ** 26 })).stdout;
  } catch (error) {
    const { code, stderr = '' } = error as { code?: string | number; stderr?: string };
    const lines = stderr
      .trim()
      .split('\n')
      .filter((line) => !line.includes('://')); // what was said, not whom was asked
    const why = lines.find((line) => line.startsWith('npm error')) ?? lines.at(-1); // Python says it last
    throw new Error(
      `${doing}: ${program} ended with ${code}${why ? ` (${why.slice(0, 300)})` : ''}. ${advice}`.trim(),
      { cause: error },
    );
  }
}

const OFFLINE = 'It is fetched once, over the network; without one this peer is left out.';

/** `node` has the WebGPU provider, `web` the one in WebAssembly. */
export type OrtPackage = 'onnxruntime-node' | 'onnxruntime-web';

/** A folder from which `require('onnxruntime-node')`, or -web, works. */
export async function installOrt(
  name: OrtPackage,
  note: (text: string) => void,
  cache: string = CACHE,
): Promise<string> {
  const folder = join(cache, 'peers', `${name}-${ORT_VERSION}`);
  if (existsSync(join(folder, 'node_modules', name, 'package.json'))) return folder;
  note(`peers: installing ${name} ${ORT_VERSION}`);
  mkdirSync(folder, { recursive: true });
  // onnxruntime-node's install script fetches CUDA libraries; the WebGPU provider comes with it.
  await command(
    `installing ${name} ${ORT_VERSION}`,
    process.platform === 'win32' ? 'npm.cmd' : 'npm',
    [
      'install',
      '--prefix',
      folder,
      `${name}@${ORT_VERSION}`,
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
      '--no-save',
    ],
    OFFLINE,
  );
  return folder;
}

/** A Python that has what export.py and torch_child.py import. */
export async function installPython(note: (text: string) => void, cache: string = CACHE): Promise<string> {
  const given = process.env['BARK_BENCH_PYTHON'];
  const imports = ['-c', `import ${PYTHON_PACKAGES.join(', ')}`];
  if (given) {
    await command('BARK_BENCH_PYTHON', given, imports, `It needs ${PYTHON_PACKAGES.join(', ')}.`);
    return given;
  }
  const folder = join(cache, 'peers', 'python');
  const python = process.platform === 'win32' ? join(folder, 'Scripts', 'python.exe') : join(folder, 'bin', 'python');
  if (
    existsSync(python) &&
    (await command('', python, imports).then(
      () => true,
      () => false,
    ))
  )
    return python;
  note(`peers: installing ${PYTHON_PACKAGES.join(', ')}`);
  await command(
    'making a Python environment',
    process.platform === 'win32' ? 'python' : 'python3',
    ['-m', 'venv', folder],
    'Install Python 3.10 or newer, or set BARK_BENCH_PYTHON.',
  );
  await command(
    `installing ${PYTHON_PACKAGES.join(', ')}`,
    python,
    ['-m', 'pip', 'install', '--quiet', ...PYTHON_PACKAGES],
    `${OFFLINE} BARK_BENCH_PYTHON can name a Python that has them.`,
  );
  return python;
}

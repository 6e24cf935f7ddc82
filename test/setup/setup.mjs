// Makes a machine that has only Node ready for `npm run demo` (--packages: `npm ci`, nothing else)
// and for `npm test`: on Linux without a WebGPU adapter a software Vulkan driver too (driver.ts),
// for the tests of the GPU's kernels. It says nothing when nothing is missing, and may be run as
// often as one likes. JavaScript, not TypeScript, and built-in modules only: it runs before
// anything is installed, under any shell, Windows included.
//
//   node test/setup/setup.mjs [--packages] [--with-swiftshader] [--with-subgroup-matrices] [--dry-run]

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = join(HERE, '..', '..');
const MIN_NODE = 20;

const MORE_DRIVERS = ['--with-swiftshader', '--with-subgroup-matrices'];
const flags = process.argv.slice(2);
const unknown = flags.find((flag) => ![...MORE_DRIVERS, '--packages', '--dry-run'].includes(flag));
if (unknown) stop(`got the flag '${unknown}', expected --packages, ${MORE_DRIVERS.join(', ')} or --dry-run.`, 2);

const major = Number(process.versions.node.split('.')[0]);
if (major < MIN_NODE)
  stop(
    `got Node ${process.versions.node}, expected ${MIN_NODE} or newer. Install it from your distribution or the Node.js site, then run this again.`,
  );

const missing = missingPackage();
if (missing) {
  say(`installing packages with npm ci (${missing})`);
  const start = Date.now();
  if (!flags.includes('--dry-run')) npmCi();
  say(`packages are there after ${seconds(start)}`);
}

if (!flags.includes('--packages') && process.platform === 'linux' && existsSync(join(ROOT, 'node_modules', 'webgpu'))) {
  const adapter = spawnSync(process.execPath, [join(HERE, 'adapter.mjs')], {
    cwd: ROOT,
    encoding: 'utf8',
    timeout: 60_000,
  });
  if (adapter.status === 4) stop(adapter.stdout.trim()); // the npm package itself cannot run here; no driver would help
  if (adapter.status !== 0 || flags.some((flag) => MORE_DRIVERS.includes(flag))) {
    // The driver script looks for itself; only its need is decided here, so that the usual run
    // stays under half a second.
    const driver = spawnSync(process.execPath, ['--import', 'tsx', join(HERE, 'driver.ts'), ...flags], {
      cwd: ROOT,
      stdio: 'inherit',
    });
    if (driver.status !== 0) process.exit(driver.status ?? 1);
  }
}

/**
 * Why `npm ci` is needed, or '' where node_modules holds what the lock file says. Contents, not
 * dates: a checkout changes dates.
 */
function missingPackage() {
  const installedFile = join(ROOT, 'node_modules', '.package-lock.json');
  if (!existsSync(installedFile)) return 'none are there yet';
  const wanted = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')).packages;
  const installed = JSON.parse(readFileSync(installedFile, 'utf8')).packages;
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === '' || entry.optional) continue; // optional ones are other platforms' binaries
    if (installed[path]?.version !== entry.version || !existsSync(join(ROOT, path)))
      return `${path.replace(/^.*node_modules\//, '')} ${entry.version} is missing`;
  }
  return '';
}

function npmCi() {
  const args = ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
  const npm = process.env.npm_execpath; // set inside `npm run`: the very npm that runs this
  const result = npm?.endsWith('.js')
    ? spawnSync(process.execPath, [npm, ...args], { cwd: ROOT, stdio: 'inherit' })
    : spawnSync('npm', args, { cwd: ROOT, stdio: 'inherit', shell: process.platform === 'win32' });
  if (result.status !== 0)
    stop(`'npm ci' failed. Its message is above; check the network and the registry that npm is set to.`);
}

function seconds(start) {
  return `${((Date.now() - start) / 1000).toFixed(0)} s`;
}

function say(text) {
  console.log(`setup: ${text}`);
}

function stop(text, code = 1) {
  console.error(`setup: ${text}`);
  process.exit(code);
}

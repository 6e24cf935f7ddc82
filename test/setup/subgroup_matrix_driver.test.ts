// The parts of fetching a newer Mesa that need no network: where apt is sent and what of the system
// it touches, and the script that runs Node.
// Needs: no device.

import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { suitesSource } from './apt_sources.ts';
import { aptConfig, fetchSubgroupMatrixDriver, manifest, nodeScript, SUITES } from './subgroup_matrix_driver.ts';

const test = suite('subgroup_matrix_driver');
const folder = mkdtempSync(join(tmpdir(), 'bark-test-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const isLinux = process.platform === 'linux';

test("the newer release is asked for at this release's mirror, in either spelling", () => {
  const lines = suitesSource(
    [{ path: 'a.list', text: 'deb [signed-by=/k.gpg] http://m.example/pub/debian bookworm main contrib\n' }],
    'bookworm',
    SUITES,
  );
  assert.is(
    lines?.text,
    'deb [signed-by=/k.gpg] http://m.example/pub/debian trixie main\ndeb [signed-by=/k.gpg] http://m.example/pub/debian trixie-backports main\n',
  );
  assert.match(lines!.path, /\.list$/);
  const stanza = suitesSource(
    [
      {
        path: 'a.sources',
        text: 'Types: deb\nURIs: http://m.example/debian\nSuites: bookworm bookworm-updates bookworm-backports\nComponents: main\nSigned-By: /k.gpg\n',
      },
    ],
    'bookworm',
    SUITES,
  );
  assert.is(
    stanza?.text,
    'Types: deb\nURIs: http://m.example/debian\nSuites: trixie trixie-backports\nComponents: main\nSigned-By: /k.gpg\n',
  );
  assert.match(stanza!.path, /\.sources$/);
  assert.is(
    suitesSource([{ path: 'a.list', text: 'deb http://m.example/ubuntu noble main\n' }], 'bookworm', SUITES),
    undefined,
  );
});

test('apt reads and writes nothing of its usual places', () => {
  if (spawnSync('apt-config', ['--version']).error) return console.log('skip: no apt here');
  const file = join(folder, 'apt.conf');
  writeFileSync(file, aptConfig('/there/a b', 'amd64'));
  const { stdout } = spawnSync('apt-config', ['-c', file, 'dump', '--format', '%F=%v%n'], { encoding: 'utf8' });
  const values = new Map(stdout.split('\n').map((line) => line.split('=', 2) as [string, string]));
  const shell = spawnSync(
    'apt-config',
    [
      '-c',
      file,
      'shell',
      'LISTS',
      'Dir::State::lists/d',
      'CACHE',
      'Dir::Cache::archives/d',
      'STATUS',
      'Dir::State::status/f',
      'SOURCES',
      'Dir::Etc::sourceparts/d',
      'EXTENDED',
      'Dir::State::extended_states/f',
    ],
    { encoding: 'utf8' },
  ).stdout;
  for (const line of shell.trim().split('\n')) assert.match(line, /='\/there\/a b\//);
  assert.is(shell.trim().split('\n').length, 5);
  for (const hook of ['APT::Update::Post-Invoke', 'DPkg::Post-Invoke'])
    assert.not(
      [...values.keys()].some((key) => key.startsWith(`${hook}::`)),
      hook,
    );
  assert.equal(
    [...values].filter(([key]) => key.startsWith('APT::Architectures::')).map(([, value]) => value),
    ['amd64'],
  );
});

test('the manifest names the library in the folder, however it was named', () => {
  for (const path of [
    'libvulkan_lvp.so',
    '/usr/lib/x86_64-linux-gnu/libvulkan_lvp.so',
    '../../../lib/libvulkan_lvp.so',
  ]) {
    const found = JSON.parse(
      manifest(
        JSON.stringify({ ICD: { api_version: '1.4.354', library_path: path }, file_format_version: '1.0.1' }),
        '/d/lib',
      ),
    );
    assert.equal(found, {
      ICD: { api_version: '1.4.354', library_path: '/d/lib/libvulkan_lvp.so' },
      file_format_version: '1.0.1',
    });
  }
});

test('the script hands arguments on, wherever it lies, and children are started with it again', () => {
  if (!isLinux) return console.log('skip: Linux only');
  const place = join(folder, 'a place');
  const libraries = join(place, 'root/usr/lib/t');
  mkdirSync(libraries, { recursive: true });
  // A stand-in for the loader: it drops '--library-path <folder>' and starts what follows.
  writeFileSync(
    join(libraries, 'ld.so'),
    '#!/bin/sh\n[ "$1" = --library-path ] && [ -d "$2" ] || exit 9\nshift 2\nexec "$@"\n',
  );
  writeFileSync(join(place, 'node'), nodeScript('t', 'ld.so'));
  for (const name of [join(libraries, 'ld.so'), join(place, 'node')]) chmodSync(name, 0o755);
  const ask =
    'console.log(JSON.stringify([process.argv.slice(1), process.env.BARK_TEST_NODE, process.env.VK_DRIVER_FILES]))';
  const wanted = [['a b', "c'$d"], join(place, 'node'), join(place, 'driver.json')];
  const run = (program: string, cwd: string, env: Record<string, string>) =>
    spawnSync(program, ['-e', ask, ...(wanted[0] as string[])], {
      cwd,
      env: { ...process.env, ...env },
      encoding: 'utf8',
    });
  assert.equal(JSON.parse(run('./node', place, { BARK_TEST_HOST_NODE: process.execPath }).stdout), wanted);
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  symlinkSync(process.execPath, join(bin, 'node'));
  assert.equal(
    JSON.parse(run(join(place, 'node'), '/', { BARK_TEST_HOST_NODE: '', PATH: `${bin}:${process.env.PATH}` }).stdout),
    wanted,
    'node of the path',
  );
  cpSync(place, join(folder, 'moved'), { recursive: true });
  assert.is(
    JSON.parse(run(join(folder, 'moved/node'), '/', { BARK_TEST_HOST_NODE: process.execPath }).stdout)[1],
    join(folder, 'moved/node'),
  );
});

test('what cannot be had leaves nothing behind, and says why in a line', () => {
  const target = join(folder, 'cache', 'mesa');
  const refused = (aptFiles: { path: string; text: string }[], codename: string): string => {
    try {
      fetchSubgroupMatrixDriver(target, aptFiles, codename);
    } catch (error) {
      return (error as Error).message;
    }
    return '';
  };
  assert.match(refused([], 'bookworm'), /^(apt has no source of bookworm|Debian's packages for)/);
  // A mirror that is not there: apt says so, or there is no apt.
  assert.match(
    refused([{ path: 'a.list', text: `deb file:${folder}/absent/debian bookworm main\n` }], 'bookworm'),
    /^(apt-get update: .+|Debian's packages for .+)$/,
  );
  assert.not.ok(existsSync(target));
  assert.equal(existsSync(join(folder, 'cache')) ? readdirSync(join(folder, 'cache')) : [], []);
});

test.run();

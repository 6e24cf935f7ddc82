// The derived backports entry, from every way that apt's sources are written: same mirror, same
// key, nothing of other vendors.
// Needs: no device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { backportsSource } from './apt_sources.ts';

const test = suite('apt_sources');
const list = (text: string) => [{ path: '/etc/apt/sources.list', text }];
const deb822 = (text: string) => [{ path: '/etc/apt/sources.list.d/debian.sources', text }];
/** The entry without its comment. */
const entry = (found: ReturnType<typeof backportsSource>): string =>
  typeof found === 'object' ? found.text.replace(/^#.*\n/, '') : String(found);

test('one line, another host and path, options kept', () => {
  const found = backportsSource(
    list(
      '# comment\ndeb-src http://mirror.example/pub/debian bookworm main\ndeb [arch=amd64 signed-by=/usr/share/keyrings/d.gpg] https://mirror.example/pub/debian/ bookworm main contrib # note\n',
    ),
    'bookworm',
  );
  assert.is(
    entry(found),
    'deb [arch=amd64 signed-by=/usr/share/keyrings/d.gpg] https://mirror.example/pub/debian/ bookworm-backports main\n',
  );
  assert.match((found as { path: string }).path, /\.list$/);
});

test('deb822: comments inside a stanza, several suites, a key by path', () => {
  const found = backportsSource(
    deb822(
      'Types: deb deb-src\n# a comment\nURIs: http://cache.local:3142/debian\nSuites: bookworm bookworm-updates\nComponents: main non-free-firmware\nSigned-By: /usr/share/keyrings/k.gpg\n\nTypes: deb\nURIs: http://cache.local:3142/debian-security\nSuites: bookworm-security\nComponents: main\n',
    ),
    'bookworm',
  );
  assert.is(
    entry(found),
    'Types: deb\nURIs: http://cache.local:3142/debian\nSuites: bookworm-backports\nComponents: main\nSigned-By: /usr/share/keyrings/k.gpg\n',
  );
  assert.match((found as { path: string }).path, /\.sources$/);
});

test('deb822: a key written out, and a snapshot that may be old', () => {
  const key = 'Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINBF\n -----END PGP PUBLIC KEY BLOCK-----';
  const found = backportsSource(
    deb822(
      `Types: deb\nURIs:\n https://snap.example/archive/debian/20250520T000000Z\nSuites: bookworm\nComponents: main\nCheck-Valid-Until: no\n${key}\n`,
    ),
    'bookworm',
  );
  assert.is(
    entry(found),
    `Types: deb\nURIs: https://snap.example/archive/debian/20250520T000000Z\nSuites: bookworm-backports\nComponents: main\nCheck-Valid-Until: no\n${key}\n`,
  );
});

test('already enabled, in either form', () => {
  assert.is(
    backportsSource(
      list('deb http://m/debian bookworm main\ndeb http://m/debian bookworm-backports main contrib\n'),
      'bookworm',
    ),
    'enabled',
  );
  assert.is(
    backportsSource(
      deb822('Types: deb\nURIs: http://m/debian\nSuites: bookworm bookworm-backports\nComponents: main\n'),
      'bookworm',
    ),
    'enabled',
  );
});

test('a disabled or commented-out backports entry does not count', () => {
  const found = backportsSource(
    [
      ...list('deb http://m/debian bookworm main\n# deb http://m/debian bookworm-backports main\n'),
      ...deb822('Enabled: no\nTypes: deb\nURIs: http://m/debian\nSuites: bookworm-backports\nComponents: main\n'),
    ],
    'bookworm',
  );
  assert.is(entry(found), 'deb http://m/debian bookworm-backports main\n');
});

test("another vendor's suite of the same name is not the mirror", () => {
  const text =
    'deb https://vendor.example/node bookworm main\ndeb http://m/mirrors/d bookworm main\ndeb http://m/mirrors/d/ bookworm-updates main\ndeb https://vendor.example/linux/debian bookworm stable\n';
  assert.is(entry(backportsSource(list(text), 'bookworm')), 'deb http://m/mirrors/d bookworm-backports main\n');
});

test('no source of that release', () => {
  assert.is(backportsSource([], 'bookworm'), undefined);
  assert.is(
    backportsSource(
      list('deb http://m/debian trixie main\ndeb cdrom:[Debian GNU/Linux 12 _Bookworm_]/ bookworm main\n'),
      'bookworm',
    ),
    undefined,
  );
});

test.run();

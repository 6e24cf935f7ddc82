// What a test file needs, as the file itself says in a line of its own above its first import:
//
//   // Needs: no device.
//   // Needs: a device.                                    one test run, on the default adapter
//   // Needs: a device, on default, portable and gpu.      one run on each of these profiles (profiles.ts)
//   // Needs: a device, on processors and default.         processors: with one thread, with four, with all
//   // Needs: a device, on every profile.                  the processors' among them

import { readFileSync } from 'node:fs';
import { isProcessor, isProfileName, PROFILES, type ProfileName } from './profiles.ts';

const LINE = /^\/\/ Needs: (no device|a device(?:, on ([\w, ]+))?)\.$/m;
const EXPECTED =
  "a line such as '// Needs: no device.' or '// Needs: a device, on default and portable.' above the imports (see test/needs.ts)";

/**
 * The profiles that a test file runs on; none of them where it needs no device. Throws for a file
 * that does not say.
 */
export function profilesOf(file: string): readonly ProfileName[] {
  const said = LINE.exec(readFileSync(file, 'utf8').split(/^import /m, 1)[0]!);
  if (!said) throw new Error(`${file}: got no line that says what it needs, expected ${EXPECTED}.`);
  if (said[1] === 'no device') return [];
  if (said[2] === undefined) return ['default'];
  if (said[2] === 'every profile') return Object.keys(PROFILES) as ProfileName[];
  const processors = Object.keys(PROFILES).filter((name) => isProcessor(name as ProfileName));
  const names = said[2].split(/, | and /).flatMap((name) => (name === 'processors' ? processors : [name]));
  return names.map((name) => {
    if (!isProfileName(name))
      throw new Error(
        `${file}: got the profile '${name}', expected one of ${Object.keys(PROFILES).join(', ')}, in ${EXPECTED}.`,
      );
    return name;
  });
}

// Reads the addresses that apt is set up with, both spellings (one-line .list, deb822 .sources),
// and derives from them an entry for other suites of the same mirror (backports, a newer release):
// a machine that reaches only its own mirror can then still install from it. Pure text to text.
// Reference: sources.list(5).

export interface AptFile {
  readonly path: string;
  readonly text: string;
}

interface Entry {
  readonly uris: readonly string[];
  readonly suites: readonly string[];
  readonly components: readonly string[];
  /**
   * The same source with other suites and the component main, in the spelling it was found in: a
   * file's ending and text.
   */
  readonly rewrite: (suites: readonly string[]) => { ending: '.list' | '.sources'; text: string };
}

const NAME = 'bark-webgpu-backports';
const NOTE =
  '# Added by bark-webgpu for Mesa, whose release in the stable suite WebGPU refuses. Backports replace nothing unless asked for by name.';

const entriesOf = (files: readonly AptFile[]): Entry[] =>
  files
    .flatMap((file) => (file.path.endsWith('.sources') ? readStanzas(file.text) : readLines(file.text)))
    .filter((entry) => entry.components.includes('main'));

/**
 * The file that enables `<codename>-backports`; 'enabled' where it is so already; undefined where
 * no source of `codename` is configured.
 */
export function backportsSource(files: readonly AptFile[], codename: string): AptFile | 'enabled' | undefined {
  const suite = `${codename}-backports`;
  const main = entriesOf(files);
  if (main.some((entry) => entry.suites.includes(suite))) return 'enabled';
  const found = mirrorOf(main, codename)?.rewrite([suite]);
  return found && { path: `${NAME}${found.ending}`, text: `${NOTE}\n${found.text}` };
}

/**
 * A source of these suites on the mirror that has `codename`, to be read by an apt of its own;
 * undefined where no source of `codename` is configured.
 */
export function suitesSource(
  files: readonly AptFile[],
  codename: string,
  suites: readonly string[],
): AptFile | undefined {
  const found = mirrorOf(entriesOf(files), codename)?.rewrite(suites);
  return found && { path: `newer${found.ending}`, text: found.text };
}

function mirrorOf(main: readonly Entry[], codename: string): Entry | undefined {
  // Other vendors name their suites after Debian's too; the distribution's own mirror is the one
  // that also has -updates, or says debian.
  const updates = new Set(
    main.filter((entry) => entry.suites.includes(`${codename}-updates`)).flatMap((entry) => entry.uris.map(bare)),
  );
  const score = (entry: Entry): number =>
    (entry.uris.some((uri) => updates.has(bare(uri))) ? 2 : 0) +
    (entry.uris.some((uri) => /\/debian(\/|$)/.test(uri)) ? 1 : 0);
  return main.filter((entry) => entry.suites.includes(codename)).sort((a, b) => score(b) - score(a))[0];
}

const bare = (uri: string): string => uri.replace(/\/+$/, '');

/** `deb [options] uri suite component …` */
function readLines(text: string): Entry[] {
  const entries: Entry[] = [];
  for (const line of text.split('\n')) {
    const found = /^\s*deb\s+(\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+([^#]+)/.exec(line);
    if (!found) continue;
    const [, options = '', uri = '', suite = '', components = ''] = found;
    if (uri.startsWith('cdrom:')) continue;
    entries.push({
      uris: [uri],
      suites: [suite],
      components: components.trim().split(/\s+/),
      rewrite: (suites) => ({
        ending: '.list',
        text: suites.map((name) => `deb ${options}${uri} ${name} main\n`).join(''),
      }),
    });
  }
  return entries;
}

/**
 * Stanzas of `Field: value`, values going on in indented lines; `#` lines are comments wherever
 * they stand.
 */
function readStanzas(text: string): Entry[] {
  const entries: Entry[] = [];
  const stanzas = text
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .join('\n')
    .split(/\n\s*\n/);
  for (const stanza of stanzas) {
    const fields = new Map<string, string>();
    let name = '';
    for (const line of stanza.split('\n')) {
      const field = /^([A-Za-z][\w-]*)\s*:(.*)$/.exec(line);
      if (field) fields.set((name = field[1]!.toLowerCase()), field[2]!.trim());
      else if (name && /^\s/.test(line)) fields.set(name, `${fields.get(name)}\n${line.trimEnd()}`);
    }
    const words = (key: string): string[] => (fields.get(key) ?? '').split(/\s+/).filter(Boolean);
    if (!words('types').includes('deb') || /^(no|false|off|0|without|disable)$/i.test(fields.get('enabled') ?? ''))
      continue;
    const uris = words('uris').filter((uri) => !uri.startsWith('cdrom:'));
    if (uris.length === 0) continue;
    entries.push({
      uris,
      suites: words('suites'),
      components: words('components'),
      rewrite: (suites) => {
        const kept = [...fields].filter(
          ([key]) => !['types', 'uris', 'suites', 'components', 'enabled', 'x-repolib-name'].includes(key),
        );
        const lines = [
          `Types: deb`,
          `URIs: ${uris.join(' ')}`,
          `Suites: ${suites.join(' ')}`,
          `Components: main`,
          ...kept.map(([key, value]) => `${title(key)}:${value.startsWith('\n') ? '' : ' '}${value}`),
        ];
        return { ending: '.sources', text: `${lines.join('\n')}\n` };
      },
    });
  }
  return entries;
}

const title = (key: string): string =>
  key.replace(/(^|-)([a-z])/g, (_, dash: string, letter: string) => dash + letter.toUpperCase());

// `bark voices`: the presets of a model, by language.

import { printable } from './progress.ts';
import { groupVoices } from '../processor/voice_list.ts';

/** Voices under their languages, in as many columns as there is room for. */
export function voiceTable(names: readonly string[]): string {
  const groups = groupVoices(names.map(printable)).map(({ language, names: voices }) => {
    const width = Math.max(...voices.map((name) => name.length)) + 2;
    const columns = Math.max(1, Math.floor(((process.stdout.columns || 80) - 2) / width));
    const rows = Array.from({ length: Math.ceil(voices.length / columns) }, (_, row) =>
      voices.slice(row * columns, (row + 1) * columns),
    );
    return [
      language,
      ...rows.map(
        (row) =>
          `  ${row
            .map((name) => name.padEnd(width))
            .join('')
            .trimEnd()}`,
      ),
    ].join('\n');
  });
  return groups.map((group) => `${group}\n`).join('\n');
}

// `bark voices`: prints the names of a model's voices, by language or as JSON.

import type { ProgressEvent } from '../options.ts';
import { BarkProcessor } from '../processor/processor.ts';
import { groupVoices, voiceLanguage } from '../processor/voice_list.ts';
import { hubOptions, type Arguments, type CommandContext } from './arguments.ts';
import { checkPlaces } from './checks.ts';
import { printable } from './progress.ts';

export async function listVoices({ values }: Arguments, { progress, signal, print }: CommandContext): Promise<void> {
  await checkPlaces(values.model, values);
  const processor = await BarkProcessor.fromPretrained(values.model, {
    ...hubOptions(values),
    tokenizer: values.tokenizer,
    signal,
    onProgress: (event: ProgressEvent) => progress.step(event),
  });
  const names = processor.voices();
  progress.clear();
  if (names.length === 0)
    progress.say('This model lists no voices. Without one it makes its own up; -v also takes the path of a .npz.');
  await print(
    values.json
      ? `${JSON.stringify(names.map((name) => ({ name, language: voiceLanguage(name) })))}\n`
      : voiceTable(names),
  );
}

/** Voices under their languages, in as many columns as the terminal has room for. */
function voiceTable(names: readonly string[]): string {
  const groups = groupVoices(names.map(printable)).map(({ language, names: voices }) => {
    const width = Math.max(...voices.map((name) => name.length)) + 2;
    const columns = Math.max(1, Math.floor(((process.stdout.columns || 80) - 2) / width));
    const lines = [`${language}\n`];
    for (let start = 0; start < voices.length; start += columns) {
      const row = voices.slice(start, start + columns).map((name) => name.padEnd(width));
      lines.push(`  ${row.join('').trimEnd()}\n`);
    }
    return lines.join('');
  });
  return groups.join('\n');
}

// `bark convert IN OUT`: converts, shows how far it is, and tells what came of it. The work is
// convert.ts's, and so are most of the checks.

import { hubOptions, type Arguments, type CommandContext } from './arguments.ts';
import { checkPlaces } from './checks.ts';
import { UsageError } from './option_table.ts';
import { convert, type ConvertReport } from '../convert/convert.ts';
import { byteCount } from '../../runtime/base/messages.ts';
import { checkFolderWritable } from '../../runtime/host/check_writable.ts';

export async function convertFiles(
  { words, values }: Arguments,
  { progress, signal, print }: CommandContext,
): Promise<void> {
  const [from, to] = words as [string, string];
  await checkPlaces(from, values);
  await checkOut(to);
  const start = performance.now();
  const report = await convert(from, to, {
    ...hubOptions(values),
    dtype: values.dtype ?? 'float16',
    force: values.force ?? false,
    voices: !values['no-voices'],
    codec: values.codec,
    tokenizer: values.tokenizer,
    signal,
    onProgress: (event) => progress.step(event),
  });
  progress.clear();
  for (const warning of [...report.missing.map((part) => missing(part, report)), ...report.warnings])
    progress.warn(warning);
  progress.say(
    `${report.folder}: ${report.tensors} tensors, ${byteCount(report.bytes)}, in ${((performance.now() - start) / 1000).toFixed(1)} s.${report.missing.length === 0 ? ` To speak with it: bark -m ${report.folder} "…"` : ''}`,
  );
  if (values.json) await print(`${JSON.stringify(report)}\n`);
}

/** Parts are called as the options that name their place. */
const missing = (part: string, { folder }: ConvertReport): string =>
  `${folder}: has no ${part}: it was neither in the model nor to be had from elsewhere. Convert again with --${part} and a folder that has one.`;

/** A URL as OUT is a mistake that would otherwise make a folder of that name. */
async function checkOut(to: string): Promise<void> {
  if (/^[a-z][a-z\d+.-]+:\/\//i.test(to))
    throw new UsageError(`${to}: got a URL as OUT, expected a folder to write. Name one on this machine.`);
  await checkFolderWritable(to, UsageError);
}

// What deno.test.ts runs in Deno, and lesser_hosts.test.ts in Node: one greedy sentence of a model
// folder. Prints one line of JSON; imports the library's own sources and nothing of Node's test
// tools. With `keep` the model is not disposed of, and the process must end all the same.
//
//   deno run -A --node-modules-dir=manual test/platform/generate.ts '{"model": folder, "text": [...], "voicePreset": {...} | null}'

import { BarkModel, BarkProcessor, type BarkInputs } from '../../bark/index.ts';

const {
  model: folder,
  text,
  voicePreset,
  dtype,
  keep = false,
} = JSON.parse(process.argv[2]!) as {
  model?: string;
  text: string[];
  voicePreset: null;
  dtype: 'float16' | 'float32';
  keep?: boolean;
};
const processor = await BarkProcessor.fromPretrained(folder);
const model = await BarkModel.fromPretrained(folder, { dtype });
const inputs: BarkInputs = await processor.encode(text, { voicePreset });
const { tokens, audio } = await model.generate(inputs, { doSample: false, minEosP: null, fine: { temperature: null } });
const rows = tokens.map(({ semantic, coarse, fine }, b) => ({
  semantic: [...semantic],
  coarse: [...coarse],
  fine: [...fine],
  audio: [...audio[b]!.data],
}));
const { capabilities, name, kind } = model.device;
if (!keep) model.dispose();
const { subgroups } = capabilities;
console.log(JSON.stringify({ deno: 'Deno' in globalThis, adapter: name, kind, subgroups, rows }));

// The same library on Deno's own WebGPU, from its sources. In a clone, after npm ci:
//
//   deno run --allow-all --node-modules-dir=manual bark/examples/deno.ts

import { BarkModel, BarkProcessor, checkSupport } from '../index.ts';

// Says whether this machine can run it, before anything is loaded.
const support = await checkSupport();
if (!support.supported) throw new Error(support.reasons.join(' '));

const processor = await BarkProcessor.fromPretrained();
const model = await BarkModel.fromPretrained();
const output = await model.generate(await processor.encode('hello from deno.'), { seed: 7 });
await output.audio[0]!.save('deno.wav');
console.log(`deno.wav: ${output.audio[0]!.duration.toFixed(2)} s on ${support.adapter}`);
model.dispose();

// Several sentences at once, each with a voice and a seed of its own:  node batch.mjs Rows of a
// batch share every walk over the weights, so a batch takes far less time than its rows one by one;
// each row says exactly what it would say alone.

import { BarkModel, BarkProcessor } from 'bark-webgpu';

const processor = await BarkProcessor.fromPretrained();
const model = await BarkModel.fromPretrained();

const texts = ['the little dog sleeps.', 'and the cat is small.', 'good night.'];

// A voice for each row: one of the model's, another, and none, which lets the model make one up.
const [first = null, second = null] = processor.voices();
const inputs = await processor.encode(texts, { voicePreset: [first, second, null] });

// Ctrl-C stops at once and leaves the model usable.
const stop = new AbortController();
process.once('SIGINT', () => stop.abort());
const output = await model.generate(inputs, { seed: [1, 2, 3], signal: stop.signal });

for (const [row, audio] of output.audio.entries()) {
  await audio.save(`${row}.wav`);
  console.log(`${row}.wav: ${audio.duration.toFixed(2)} s, seed ${output.seeds[row]}: ${texts[row]}`);
}

// What the first row said, as a voice for the next sentence; suno's code and transformers read it
// too.
await output.voice(0).save('voice.npz');

model.dispose();

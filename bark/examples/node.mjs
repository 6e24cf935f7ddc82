// One sentence, spoken and written to hello.wav, in Node 20 or newer:  node node.mjs

import { BarkModel, BarkProcessor } from 'bark-webgpu';

// The processor turns text into token ids, and knows the voices. Without a name it is that of the
// small built-in model; 'suno/bark-small' would be fetched from the Hub.
const processor = await BarkProcessor.fromPretrained();

// The model reads its weights onto the GPU. `using` would dispose of it at the end of the block.
const model = await BarkModel.fromPretrained(undefined, { dtype: 'float16' });

// Text and voice become what the model reads.
const inputs = await processor.encode('hello there, how are you?', { voicePreset: 'demo/ada' });

// The same seed says the same again. Progress comes with each step of each stage.
const output = await model.generate(inputs, {
  seed: 7,
  onProgress: ({ stage, done, total }) => done === total && console.log(`${stage}: ${total} steps`),
});

// 24 kHz mono samples, as a WAV file.
const [audio] = output.audio;
await audio.save('hello.wav');
console.log(`hello.wav: ${audio.duration.toFixed(2)} s`);

// What went otherwise than one would expect is in words, not in exceptions.
for (const warning of output.warnings) console.warn(warning);

model.dispose();

// The Worker of browser.html: the model lives here, and the page gets WAV files by message.

import { BarkModel, BarkProcessor } from '../../dist/browser/index.js';

// Loaded once, at the first sentence, from the folder of the built-in voice.
let loaded;
const load = () =>
  (loaded ??= Promise.all([
    BarkProcessor.fromPretrained(),
    BarkModel.fromPretrained(undefined, { onProgress: (progress) => postMessage({ progress }) }),
  ]));

addEventListener('message', async ({ data: { text } }) => {
  try {
    const [processor, model] = await load();
    const onProgress = (progress) => postMessage({ progress });
    const output = await model.generate(await processor.encode(text), { onProgress });
    postMessage({ wav: output.audio[0].toBlob() });
  } catch (error) {
    postMessage({ error: error.message });
  }
});

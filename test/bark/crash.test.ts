// A thread of the processor crashes in the middle of a sentence: the call ends with a typed error,
// and the next one gives what it would have given.
// Needs: a device, on wasm.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BarkModel } from '../../bark/model.ts';
import { BarkProcessor } from '../../bark/processor/processor.ts';
import { UnsupportedError } from '../../runtime/base/errors.ts';
import { Device } from '../../runtime/compute/device.ts';
import { record } from '../../runtime/compute/program.ts';
import { trap } from '../runtime/compute/wasm/trap.ts';
import { thrown } from '../thrown.ts';

const test = suite('crash');

for (const stage of ['semantic', 'coarse', 'fine'])
  test(`in the ${stage} stage`, async () => {
    const device = await Device.request({ backend: 'wasm', tuning: {} });
    const model = await BarkModel.fromPretrained(undefined, { device });
    const inputs = await (await BarkProcessor.fromPretrained()).encode('good morning.');
    const expected = await model.generate(inputs, { seed: 3 });
    const crashing = await record(device, (r) => r.dispatch(trap, { bind: {}, grid: [1] }), { label: 'crash' });
    let crashes = 0;
    const onProgress = (event: { stage: string }): void => {
      if (event.stage === stage && crashes++ === 0) crashing.run();
    };
    const error = await thrown(model.generate(inputs, { seed: 3, onProgress }));
    assert.instance(error, UnsupportedError);
    assert.match(error.message, /A thread of the processor's device crashed/);
    const again = await model.generate(inputs, { seed: 3 });
    assert.equal(again.tokens, expected.tokens);
    assert.equal(again.audio[0]!.data, expected.audio[0]!.data);
    model.dispose();
    device.dispose();
  });

test.run();

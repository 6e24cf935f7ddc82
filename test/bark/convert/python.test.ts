// A converted folder read by transformers itself, where a Python with it is at hand.
// Needs: no device.

import { spawnSync } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { convert } from '../../../bark/convert/convert.ts';
import { formulaWeights } from '../../formula.ts';
import { fixture, out, folder } from './folders.ts';
import { META, json, blob, triple, f32 } from './released.ts';

const test = suite('convert_python');

const codec = () =>
  new Map([
    ['config.json', json(fixture.config.codec_config)],
    [META, blob(META)],
  ]);

const python = process.env.BARK_TEST_PYTHON;

const PROGRAM = `
import json, sys
from transformers import BarkModel
model, report = BarkModel.from_pretrained(sys.argv[1], output_loading_info=True)
print(json.dumps({"dtype": str(model.dtype), "keys": [len(report[k]) for k in ("missing_keys", "unexpected_keys", "mismatched_keys")], "lm_head": model.semantic.lm_head.weight.detach().flatten().float().tolist()[:5]}))
`;

(python ? test : test.skip)('transformers loads what was written (BARK_TEST_PYTHON)', async () => {
  for (const dtype of ['float16', 'float32'] as const) {
    const path = out();
    await convert(triple(), path, { dtype, codec: codec(), tokenizer: await folder() });
    const { stdout, stderr } = spawnSync(python!, ['-c', PROGRAM, path], { encoding: 'utf8' });
    assert.ok(stdout.includes('{'), stderr);
    const { lm_head, ...rest } = JSON.parse(stdout.slice(stdout.indexOf('{'))) as {
      lm_head: number[];
      dtype: string;
      keys: number[];
    };
    assert.equal(rest, { dtype: `torch.${dtype}`, keys: [0, 0, 0] });
    const expected = f32(await formulaWeights(fixture.config, fixture.formula).read('semantic.lm_head.weight', 0, 20));
    for (const [i, value] of lm_head.entries())
      assert.ok(
        Math.abs(value - expected[i]!) <= (dtype === 'float32' ? 0 : 1e-3 * Math.abs(expected[i]!)),
        `${value} for ${expected[i]}`,
      );
  }
});

test.run();

// `npm run bench -- [suite …] [options]`: chooses suites and prints what they measure. No timing is printed before its result was checked.

import { parseArgs } from 'node:util';
import { decode } from './decode.ts';
import { generate } from './generate.ts';
import { isModelName } from './inventory.ts';
import { kernels } from './kernels.ts';
import { load } from './load.ts';
import { peers } from './peers/suite.ts';
import { stages } from './stages.ts';
import { table, type Result, type Suite } from './harness.ts';

const OWN: readonly Suite[] = [kernels, decode, stages, generate, load];
const SUITES: readonly Suite[] = [...OWN, peers]; // peers install things and take minutes: only when they are named

const USAGE = `usage: npm run bench -- [suite …] [options]

suites (default: all but peers)
${SUITES.map(({ name, about }) => `  ${name.padEnd(10)}${about}`).join('\n')}

options
  --json          one JSON object a line
  --quick         few repetitions: under a minute on a software adapter
  --model NAME    small (default), large, tiny, or the path of a model's folder
  --dtype DTYPE   float16 or float32 (default: both)
  --cold          also with the file not in memory (Linux)
  --repeats N     measure so often (default: 5, with --quick 3)
  --dir DIR       where checkpoints that are made on the fly are kept (default: a folder of the system's temporary one)`;

function fail(message: string): never {
  console.error(`${message}\n\n${USAGE}`);
  process.exit(2);
}

function parse() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        json: { type: 'boolean', default: false }, quick: { type: 'boolean', default: false }, cold: { type: 'boolean', default: false }, help: { type: 'boolean', short: 'h', default: false },
        model: { type: 'string', default: 'small' }, dtype: { type: 'string' }, dir: { type: 'string' }, repeats: { type: 'string' },
      },
    });
    return { ...values, positionals };
  } catch (error) {
    return fail(`bench: ${(error as Error).message}`);
  }
}

const { json, quick, cold, help, model, dtype, dir, repeats, positionals } = parse();
if (help) {
  console.log(USAGE);
  process.exit(0);
}
if (dtype !== undefined && dtype !== 'float16' && dtype !== 'float32') fail(`bench: got --dtype ${dtype}, expected float16 or float32.`);
if (repeats !== undefined && !/^[1-9]\d{0,2}$/.test(repeats)) fail(`bench: got --repeats ${repeats}, expected a number from 1 to 999.`);
const unknown = positionals.find((name) => !SUITES.some((suite) => suite.name === name));
if (unknown !== undefined) fail(`bench: got the suite '${unknown}', expected ${SUITES.map(({ name }) => name).join(' or ')}.`);
if (!isModelName(model) && !/[/\\.]/.test(model)) fail(`bench: got --model ${model}, expected small, large, tiny or a path such as ./${model}.`);

for (const suite of positionals.length === 0 ? OWN : SUITES.filter(({ name }) => positionals.includes(name))) {
  const results: Result[] = [];
  const emit = (result: Result): void => {
    results.push(result);
    if (json) console.log(JSON.stringify(result));
  };
  try {
    await suite.run({ model, quick, cold, dtype, dir, repeats: Number(repeats ?? (quick ? 3 : 5)) }, emit, (text) => console.error(text));
  } catch (error) {
    console.error(`${suite.name}: ${(error as Error).message}`);
    process.exitCode = 1;
  }
  if (!json && results.length > 0) console.log(`${suite.name} on ${results[0]!.adapter}\n${table(results, suite.columns)}\n`);
}

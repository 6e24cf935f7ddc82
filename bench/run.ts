// `bark bench [suite …] [options]`, in the repository `npm run bench -- …`: chooses suites and
// prints what they measure. No timing is printed before its result was checked.

import { packageVersion } from '../runtime/host/version.ts';
import { decode } from './suites/decode.ts';
import { device } from './suites/device.ts';
import { generate } from './suites/generate.ts';
import { isModelName } from './model/inventory.ts';
import { kernels } from './suites/kernels.ts';
import { load } from './suites/load.ts';
import { peers } from './peers/suite.ts';
import { stages } from './suites/stages.ts';
import type { BackendKind } from '../runtime/compute/backend.ts';
import { table, type Result, type Suite } from './measure/harness.ts';
import type { Tuned } from './tune/tune.ts';
import { benchHelp, readBenchArguments } from './options.ts';

const OWN: readonly Suite[] = [device, kernels, decode, stages, generate, load];
const SUITES: readonly Suite[] = [...OWN, peers]; // peers install things and take minutes: only when they are named

function parse() {
  try {
    return readBenchArguments(process.argv.slice(2));
  } catch (error) {
    return fail((error as Error).message);
  }
}

function fail(message: string): never {
  console.error(`error: ${message}`);
  process.exit(2);
}

/** Of these arguments nothing is run. */
async function answer(): Promise<string | undefined> {
  if (values.version) return packageVersion();
  return values.help ? benchHelp(SUITES) : undefined;
}

const { words, values } = parse();
const {
  json = false,
  quick = false,
  cold = false,
  tune: tuning = false,
  model = 'small',
  dtype,
  threads,
  dir,
  repeats = quick ? 3 : 5,
} = values;
const backend = values.backend as BackendKind | undefined;
const told = await answer();
if (told !== undefined) {
  console.log(told);
  process.exit(0);
}
const unknown = words.find((name) => !SUITES.some((suite) => suite.name === name));
if (unknown !== undefined)
  fail(`bench: got the suite '${unknown}', expected ${SUITES.map(({ name }) => name).join(' or ')}.`);
if (words.includes(peers.name) && !import.meta.filename.endsWith('.ts'))
  fail(
    "bench: got the suite 'peers', expected another: it needs files in Python that only the repository has. Clone that, and run: npm run bench -- peers",
  );
if (!isModelName(model) && !/[/\\.]/.test(model))
  fail(`--model: got '${model}', expected small, large, tiny or a path such as ./${model}.`);

/** Runs one part of the bench; where it fails, the others go on. */
async function attempt(name: string, run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    console.error(`${name}: ${(error as Error).message}`);
    process.exitCode = 1;
  }
}

const note = (text: string): void => console.error(text);

if (tuning) {
  await attempt('tune', async () => {
    const { tune, tuneTable } = await import('./tune/tune.ts');
    const results: Tuned[] = [];
    const emit = (result: Tuned): void => {
      results.push(result);
      if (json) console.log(JSON.stringify(result));
    };
    const file = await tune(emit, note, { quick, repeats, backend, threads });
    if (!json) console.log(`tune on ${results[0]!.adapter}\n${tuneTable(results)}\n`);
    note(`tune: remembered in ${file}; 'bark doctor' shows it, BARK_TUNING=off leaves it out.`);
  });
}

const asked = words.length > 0 ? SUITES.filter(({ name }) => words.includes(name)) : tuning ? [] : OWN;
for (const suite of asked) {
  const results: Result[] = [];
  const emit = (result: Result): void => {
    results.push(result);
    if (json) console.log(JSON.stringify(result));
  };
  await attempt(suite.name, () => suite.run({ model, quick, cold, dtype, dir, repeats, backend, threads }, emit, note));
  if (!json && results.length > 0)
    console.log(`${suite.name} on ${results[0]!.adapter}\n${table(results, suite.columns)}\n`);
  const closing = suite.closing?.(results);
  if (closing) (json ? console.error : console.log)(closing);
}

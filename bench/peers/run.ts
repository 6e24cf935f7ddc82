// The suite `peers` by itself, with the options that only it has.
//
//   node --import tsx bench/peers/run.ts --help

import { parseArgs } from 'node:util';
import { table, type Result } from '../measure/harness.ts';
import { peers } from './suite.ts';
import { TASKS, type Task } from './work.ts';
import { PEERS, type Peer } from './candidates.ts';

const USAGE = `usage: node --import tsx bench/peers/run.ts [options]

  --json             one JSON object a line
  --quick            two layers (fine, generate: one), no prefill887, few repetitions; transformers: eager generate
  --model NAME       small (default) or large
  --layers N         default: the model's
  --only LIST        of ${PEERS.join(', ')}; default: both
  --operations LIST  of ${TASKS.join(', ')}; default: all
  --tokens N         semantic tokens of a sentence; default: 64, with --quick 16
  --dtype DTYPE      ours: float16 (default) or float32
  --repeats N        default: 5, with --quick 3
  --dir DIR          where checkpoints, graphs and what is installed are kept`;

function read<T>(arguments_: () => T): T {
  try {
    return arguments_();
  } catch (error) {
    console.error(`peers: ${(error as Error).message}\n\n${USAGE}`);
    process.exit(2);
  }
}

function among<T extends string>(name: string, given: string | undefined, all: readonly T[]): T[] | undefined {
  const parts = given?.split(',');
  const wrong = parts?.find((part) => !all.includes(part as T));
  if (wrong === undefined) return parts as T[] | undefined;
  console.error(`peers: got --${name} ${wrong}, expected ${all.join(', ')}.`);
  process.exit(2);
}

if (process.argv[1] === import.meta.filename) {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  const options = {
    json: flag,
    quick: flag,
    help: flag,
    model: { ...text, default: 'small' },
    dtype: text,
    layers: text,
    only: text,
    operations: text,
    repeats: text,
    tokens: text,
    dir: text,
  };
  const values = read(() => parseArgs({ options }).values);
  if (values.help) {
    console.log(USAGE);
    process.exit(0);
  }
  const { json, quick, model, dir } = values;
  const count = (given: string | undefined): number | undefined =>
    given !== undefined && /^[1-9]\d{0,2}$/.test(given) ? Number(given) : undefined;
  const only = among<Peer>('only', values.only, PEERS);
  const operations = among<Task>('operations', values.operations, TASKS);
  const dtype = among('dtype', values.dtype, ['float16', 'float32'] as const)?.[0];
  const results: Result[] = [];
  const emit = (result: Result): void => {
    results.push(result);
    if (json) console.log(JSON.stringify(result));
  };
  try {
    await peers.run(
      {
        model,
        quick,
        dir,
        dtype,
        cold: false,
        repeats: count(values.repeats) ?? (quick ? 3 : 5),
        layers: count(values.layers),
        tokens: count(values.tokens),
        only,
        operations,
      },
      emit,
      (note) => console.error(note),
    );
  } catch (error) {
    console.error(`peers: ${(error as Error).message}`);
    process.exitCode = 1;
  }
  if (!json && results.length > 0)
    console.log(`${peers.name} on ${results[0]!.adapter}\n${table(results, peers.columns)}`);
  if (results.length > 0) (json ? console.error : console.log)(peers.closing(results));
}

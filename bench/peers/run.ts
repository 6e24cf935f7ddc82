// The suite `peers` by itself, with the options that only it has.
//
//   node --import tsx bench/peers/run.ts --help

import { parseArgs } from 'node:util';
import { table, type Result } from '../measure/harness.ts';
import { peers } from './suite.ts';
import { TASKS } from './work.ts';
import { BACKENDS } from '../measure/machine.ts';
import { PEERS, TORCH_FORMS } from './candidates.ts';

const USAGE = `usage: node --import tsx bench/peers/run.ts [options]

  --json             one JSON object a line
  --quick            two layers (fine, generate: one), no prefill887, few repetitions; transformers: eager generate
  --model NAME       small (default) or large
  --layers N         default: the model's
  --backend NAME     ours: ${BACKENDS.join(' or ')}; default: what the library chooses
  --threads N        of our wasm, and of the peers on the processor; default: as many as run at once
  --side SIDE        ours or peers: run that side alone; default: both in turns
  --only LIST        of ${PEERS.join(', ')}; default: ort,torch; with --backend wasm: ort-wasm,torch
  --forms LIST       of transformers: ${TORCH_FORMS.join(', ')}; default: all that suit the machine
  --limit SECONDS    what one call of a peer may take; default: 300, with --quick 60
  --operations LIST  of ${TASKS.join(', ')}; default: all
  --tokens N         semantic tokens of a sentence; default: 64, with --backend wasm 250, with --quick 16
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

const one = <const T extends string>(name: string, given: string | undefined, all: readonly T[]): T | undefined =>
  among(name, given === undefined ? undefined : given.replaceAll(',', ' and '), all)?.[0];

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
    backend: text,
    threads: text,
    side: text,
    forms: text,
    limit: text,
    dir: text,
  };
  const values = read(() => parseArgs({ options }).values);
  if (values.help) {
    console.log(USAGE);
    process.exit(0);
  }
  const { json, quick, model, dir } = values;
  const count = (name: string, given: string | undefined): number | undefined => {
    if (given === undefined || /^[1-9]\d{0,3}$/.test(given)) return given === undefined ? undefined : Number(given);
    console.error(`peers: got --${name} ${given}, expected a whole number from 1 to 9999.`);
    process.exit(2);
  };
  const only = among('only', values.only, PEERS);
  const operations = among('operations', values.operations, TASKS);
  const forms = among('forms', values.forms, TORCH_FORMS);
  const backend = one('backend', values.backend, BACKENDS);
  const dtype = one('dtype', values.dtype, ['float16', 'float32']);
  const side = one('side', values.side, ['ours', 'peers']);
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
        repeats: count('repeats', values.repeats) ?? (quick ? 3 : 5),
        layers: count('layers', values.layers),
        tokens: count('tokens', values.tokens),
        only,
        operations,
        backend,
        threads: count('threads', values.threads),
        side,
        forms,
        seconds: count('limit', values.limit),
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

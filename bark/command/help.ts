// What `bark --help` and `bark <command> --help` print, made of the same table as the parsing.

import { optionsOf, type Command } from './arguments.ts';
import { optionLines } from './option_table.ts';

/** The text of --help. */
export function help(command: Command): string {
  return [...HEADS[command], '', 'Options', ...optionLines(optionsOf(command)), ...(ENVIRONMENT[command] ?? [])].join(
    '\n',
  );
}

const HEADS: Readonly<Record<Command, readonly string[]>> = {
  say: [
    'Usage: bark "text"             speaks it, or writes bark.wav where nothing can play',
    '       bark -m suno/bark-small -v v2/en_speaker_6 -o hello.wav "text"',
    '       bark voices             lists the voices of a model, by language',
    '       bark convert IN OUT     makes any Bark checkpoint a folder of safetensors',
    '       bark doctor             tells what this machine can do, for bug reports',
    '       bark bench              measures speed on this machine; --tune picks the fastest kernels',
    '',
    'The text comes from the arguments, from --file, or from standard input.',
  ],
  voices: [
    'Usage: bark voices [--model MODEL]',
    '',
    'Prints the names of the voices by language.',
    'With --json a list of { name, language }: "en", "de" …, or null where the name does not tell.',
  ],
  convert: [
    'Usage: bark convert IN OUT',
    '',
    "IN   a folder or a Hub id: pytorch_model.bin, safetensors, or suno's text, coarse and fine .pt files",
    'OUT  the folder to write, in Hugging Face layout, for this command and for transformers',
  ],
  doctor: [
    'Usage: bark doctor',
    '',
    'Prints the versions, the device that computes here with what it can do, and the result of a small self-test.',
  ],
};

const HUB_ENVIRONMENT = [
  '  HF_HOME        where Hub files are kept, in hub/, and the token; default: ~/.cache/huggingface',
  '  HF_HUB_CACHE   where Hub files are kept, if not there',
  '  HF_TOKEN       for private and gated models, if not the one of hf auth login',
  '  HF_HUB_OFFLINE 1 is --offline',
  '  HF_ENDPOINT    another server than the Hub',
];

const ENVIRONMENT: Readonly<Partial<Record<Command, readonly string[]>>> = {
  say: [
    '',
    'Environment',
    ...HUB_ENVIRONMENT,
    '  BARK_BACKEND   webgpu, wasm or auto, where --backend does not say',
    '  BARK_THREADS   threads of the processor, where --threads does not say',
    '  BARK_ADAPTER   part of the name of the GPU to use',
    '  BARK_TUNING    the file of bark bench --tune, or off',
    '  BARK_DEBUG     any value: errors show where they came from',
    '  NO_COLOR       any value: no colours',
    '',
    'Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.',
  ],
  voices: ['', 'Environment', ...HUB_ENVIRONMENT],
  convert: ['', 'Environment', ...HUB_ENVIRONMENT],
};

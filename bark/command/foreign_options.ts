// Options that people know from other programs, and what to write here: suno's own command (bark's
// cli.py), bark.cpp, transformers, other speech programs.

const TEXT = `, expected the text itself, as an argument: bark "Hello."`;
const NO_SPEED = `, expected none: Bark has no such setting, and a voice speaks as fast as it does. Change the file afterwards, as ffmpeg does with -filter:a atempo=1.2.`;
const ADAPTER = ', expected --backend webgpu or --backend wasm, the processor. BARK_ADAPTER picks a GPU by its name.';
const SAMPLING = `, expected none: only the library has it, as an option of generate.`;

/** One of this command's options, by its name. */
interface Same {
  readonly option: string;
  /** What is different about it. */
  readonly note?: string;
}

// A name that begins with a dash is a short option.
const FOREIGN: Readonly<Record<string, string | Same>> = {
  text: TEXT,
  prompt: TEXT,
  '-p': TEXT,
  'text-prompt': TEXT,
  input: { option: 'file' },
  'text-file': { option: 'file' },
  'history-prompt': { option: 'voice' },
  'voice-preset': { option: 'voice' },
  speaker: { option: 'voice' },
  preset: { option: 'voice' },
  language: { option: 'voice', note: 'A voice speaks its own language: -v v2/de_speaker_1.' },
  lang: { option: 'voice', note: 'A voice speaks its own language: -v v2/de_speaker_1.' },
  'text-temp': { option: 'temperature', note: 'It is that of all stages.' },
  'waveform-temp': { option: 'temperature', note: 'It is that of all stages.' },
  'fine-temp': { option: 'temperature', note: 'It is that of all stages.' },
  temp: { option: 'temperature' },
  'do-sample': { option: 'greedy', note: 'Without it, tokens are drawn.' },
  'output-filename': { option: 'output' },
  'output-file': { option: 'output' },
  outwav: { option: 'output' },
  outfile: { option: 'output' },
  'output-dir': { option: 'output', note: 'It takes folder and name together: -o folder/hello.wav.' },
  format: { option: 'output', note: 'The only format is .wav.' },
  'output-full': { option: 'json', note: 'It prints the tokens.' },
  silent: { option: 'quiet' },
  verbose: ', expected none: what it does is shown, if not turned off with --quiet.',
  '-s': { option: 'seed' },
  'model-path': { option: 'model' },
  'model-name': { option: 'model' },
  small: { option: 'model', note: 'The small one: -m suno/bark-small.' },
  'max-length': { option: 'max-new-tokens', note: 'It counts semantic tokens.' },
  'torch-dtype': { option: 'dtype' },
  precision: { option: 'dtype' },
  half: { option: 'dtype', note: 'float16 is the default.' },
  fp16: { option: 'dtype', note: 'float16 is the default.' },
  'cpu-offload': { option: 'offload' },
  'local-files-only': { option: 'offline' },
  speed: NO_SPEED,
  rate: NO_SPEED,
  'length-scale': NO_SPEED,
  pitch: ', expected none: Bark has no such setting. Choose another voice with -v.',
  volume: ', expected none: Bark has no such setting. Change the file afterwards, with ffmpeg for example.',
  'top-k': SAMPLING,
  'top-p': SAMPLING,
  device: ADAPTER,
  gpu: ADAPTER,
  cpu: { option: 'backend', note: 'The processor: --backend wasm.' },
  '-t': { option: 'threads' },
  token: ", expected none: others can see a program's arguments. Put it into HF_TOKEN.",
  'list-voices': ', expected the command: bark voices.',
  voices: ', expected the command: bark voices.',
  convert: ', expected the command: bark convert IN OUT.',
  doctor: ', expected the command: bark doctor.',
  bench: ', expected the command: bark bench.',
};

/**
 * How the error goes on for an option of another program: undefined where it is none, or where the
 * like of it is not among `names`. Underscores and capitals are as dashes and small letters.
 */
export function foreignOption(rawName: string, names: readonly string[]): string | undefined {
  const name = rawName.replace(/^--/, '').toLowerCase().replaceAll('_', '-');
  const found = Object.hasOwn(FOREIGN, name) ? FOREIGN[name]! : undefined;
  if (found === undefined || typeof found === 'string') return found;
  if (!names.includes(found.option)) return undefined;
  return `; did you mean --${found.option}?${found.note ? ` ${found.note}` : ''} See bark --help.`;
}

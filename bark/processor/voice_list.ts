// A model's own voices by name: from speaker_embeddings_path.json, or from a folder of .npz files
// as in suno's repository; their languages, and what a mistyped name may have meant. Nothing but
// the list is read before a voice is used.
// Reference: HF processing_bark.py (the list), suno-ai/bark assets/prompts (the folder).
import { InputError, WeightsError } from '../../runtime/base/errors.ts';
import { jsonObject, objectAt, text } from '../../runtime/base/json.ts';
import { nearestNames } from '../../runtime/base/messages.ts';
import { readJson } from '../../runtime/files/read.ts';
import { pathParts } from '../../runtime/sources/open_source.ts';
import { readNpzVoice, readThreeArrays, type PromptPaths, type VoicePreset } from './voice_preset.ts';
import type { ModelSource, OpenOptions } from '../../runtime/files/model_source.ts';
import { PROMPTS } from './prompt_arrays.ts';

/** Where the three arrays of each of a checkpoint's presets lie, relative to its folder. */
export type VoiceList = ReadonlyMap<string, PromptPaths>;

export const VOICE_LIST = 'speaker_embeddings_path.json';

/**
 * Reads speaker_embeddings_path.json; a checkpoint without one has no presets. No preset is opened.
 */
export async function readVoiceList(source: ModelSource, options?: OpenOptions): Promise<VoiceList> {
  if (!(await source.has(VOICE_LIST, options))) return new Map();
  const list = jsonObject(await readJson(source, VOICE_LIST, options), `${source.label}/${VOICE_LIST}`);
  // In transformers' own files one key is no voice: it says where the paths begin, which is here.
  const names = Object.keys(list.values).filter((name) => name !== 'repo_or_path');
  return new Map(
    names.map((name) => {
      const paths = objectAt(list, name);
      return [
        name,
        {
          semantic_prompt: text(paths, 'semantic_prompt'),
          coarse_prompt: text(paths, 'coarse_prompt'),
          fine_prompt: text(paths, 'fine_prompt'),
        },
      ];
    }),
  );
}

/**
 * Opens one preset of a checkpoint. Paths that leave its folder are refused before any of the three
 * is opened.
 */
export async function loadListedVoice(
  source: ModelSource,
  list: VoiceList,
  name: string,
  options?: OpenOptions,
): Promise<VoicePreset> {
  const paths = list.get(name);
  if (!paths)
    throw new InputError(`${source.label}: got no voice ${JSON.stringify(name)}, expected one of its ${list.size}.`);
  for (const prompt of PROMPTS) checkListedPath(`${source.label}/${VOICE_LIST}`, paths[prompt]);
  return readThreeArrays(source, paths, name, options);
}

/** Throws `WeightsError` for a path that leaves the folder, also when it is decoded as a URL. */
function checkListedPath(label: string, path: string): void {
  let decoded = path;
  try {
    decoded = decodeURIComponent(path);
  } catch {
    // A lone % is a character of a file name.
  }
  for (const spelling of new Set([path, decoded])) pathParts(label, spelling);
  if (/^[a-z][a-z\d+.-]*:/i.test(path))
    throw new WeightsError(
      `${label}: got the path ${JSON.stringify(path)}, expected one inside the folder. Do not use this model before you know who made it.`,
    );
}

/** The voices that a model brings along. */
export interface ModelVoices {
  readonly names: readonly string[];
  /** Opens a voice by its name; undefined where the model has none of that name. */
  open(name: string, options?: OpenOptions): Promise<VoicePreset | undefined>;
}

const NPZ_FOLDERS = ['assets/prompts', 'bark/assets/prompts', 'speaker_embeddings'];
const NPZ_NAME = /^\w[\w-]*(?:\/\w[\w-]*)*$/;

/** Finds a model's voices; reads the list where there is one, and opens no voice. */
export async function findModelVoices(source: ModelSource, options?: OpenOptions): Promise<ModelVoices> {
  const list = await readVoiceList(source, options);
  const listed = (name: string, opening?: OpenOptions) => loadListedVoice(source, list, name, opening);
  if (list.size > 0 || (await source.has(VOICE_LIST, options))) {
    return {
      names: [...list.keys()],
      open: async (name, opening) => (list.has(name) ? listed(name, opening) : undefined),
    };
  }
  return {
    names: (await firstThere(source, 'announcer', options)) === undefined ? [] : SUNO_VOICES,
    async open(name, opening) {
      const path = NPZ_NAME.test(name) ? await firstThere(source, name, opening) : undefined;
      return path === undefined ? undefined : readNpzVoice(source, path, name, opening);
    },
  };
}

async function firstThere(source: ModelSource, name: string, options?: OpenOptions): Promise<string | undefined> {
  for (const folder of NPZ_FOLDERS)
    if (await source.has(`${folder}/${name}.npz`, options)) return `${folder}/${name}.npz`;
  return undefined;
}

const LANGUAGES: Readonly<Record<string, string>> = {
  en: 'English',
  zh: 'Chinese',
  fr: 'French',
  de: 'German',
  hi: 'Hindi',
  it: 'Italian',
  ja: 'Japanese',
  ko: 'Korean',
  pl: 'Polish',
  pt: 'Portuguese',
  ru: 'Russian',
  es: 'Spanish',
  tr: 'Turkish',
};
const TEN = Array.from({ length: 10 }, (_, i) => i);

/** The names of suno's own folder of .npz files. */
const SUNO_VOICES: readonly string[] = [
  ...['v2/', ''].flatMap((version) =>
    Object.keys(LANGUAGES).flatMap((code) => TEN.map((i) => `${version}${code}_speaker_${i}`)),
  ),
  'announcer',
  ...TEN.map((i) => `speaker_${i}`),
];

/**
 * The language of a voice as a code, 'en' for 'v2/en_speaker_6'; null where its name does not say.
 */
export function voiceLanguage(name: string): string | null {
  const code = /(?:^|\/)([a-z]{2})_speaker_\d+$/.exec(name)?.[1] ?? '';
  return Object.hasOwn(LANGUAGES, code) ? code : null;
}

/**
 * Voices by language: English, the others by name, then what belongs to none; v2 first, and numbers
 * in their order.
 */
export function groupVoices(names: readonly string[]): { language: string; names: string[] }[] {
  const groups = new Map<string, string[]>([...Object.keys(LANGUAGES), ''].map((code) => [code, []]));
  for (const name of names) groups.get(voiceLanguage(name) ?? '')!.push(name);
  const older = (name: string) => Number(!name.startsWith('v2/'));
  const order = (a: string, b: string) => older(a) - older(b) || a.localeCompare(b, 'en', { numeric: true });
  return [...groups]
    .filter(([, voices]) => voices.length > 0)
    .map(([code, voices]) => ({ language: LANGUAGES[code] ?? 'Other', names: voices.sort(order) }));
}

/**
 * Up to three names that a mistyped one may have meant. Case, '-' and a missing 'v2/' are the usual
 * slips.
 */
export function nearVoices(name: string, names: readonly string[]): string[] {
  const plain = (text: string) =>
    text
      .trim()
      .toLowerCase()
      .replace(/[-\s]/g, '_')
      .replace(/\.np[yz]$/, '');
  const asked = plain(name);
  const base = (text: string) => text.slice(text.lastIndexOf('/') + 1);
  const same = names.filter((other) => plain(other) === asked || base(plain(other)) === base(asked));
  const byPlain = new Map(names.map((other) => [plain(other), other]));
  const near = nearestNames(asked, [...byPlain.keys()]).map((other) => byPlain.get(other)!);
  return [...new Set([...same.sort((a, b) => Number(plain(b) === asked) - Number(plain(a) === asked)), ...near])]
    .filter((other) => other !== name)
    .slice(0, 3);
}

// Which model is meant, and what it is made of: a folder of Hugging Face's or suno's three files,
// or, where none is named, the small voice that comes with the package. The one place that says
// where each part lies; whoever loads or converts a model asks here.
// The tokenizer's place is tokenizer.ts's, that of voices voice_list.ts's. Reads small files and
// headers; uploads nothing.

import { EncodecConfig } from '../../encodec/config.ts';
import { codecName, hasCodec, META_FILE, openCodecCheckpoint, readCodecConfig } from '../../encodec/checkpoint.ts';
import type { Checkpoint } from '../../runtime/formats/checkpoint.ts';
import { joined, prefixed, renamed } from '../../runtime/formats/views.ts';
import { WeightsError } from '../../runtime/base/errors.ts';
import { modelInside, otherEngine } from '../../runtime/formats/other_models.ts';
import { findCheckpoint, openCheckpoint } from '../../runtime/formats/open_checkpoint.ts';
import { openHub } from '../../runtime/sources/hub/hub.ts';
import { packageRoot } from '../../runtime/host/package_root.ts';
import { readJson, whyMissing } from '../../runtime/files/read.ts';
import { openModelSource, refuseRevision, type ModelSourceLike } from '../../runtime/sources/open_source.ts';
import { BarkConfig } from '../config/config.ts';
import { BarkGenerationConfig, generationName } from '../config/generation_config.ts';
import type { ProgressEvent } from '../options.ts';
import { findSunoCodec, findSunoFiles, openSuno } from './suno.ts';
import type { ModelSource, OpenOptions } from '../../runtime/files/model_source.ts';
import { HUB_OPTIONS, hubOptions, type HubOptions } from '../../runtime/sources/hub/settings.ts';

const CODEC_REPOSITORY = 'facebook/encodec_24khz';
const CODEC = 'codec_model.';

/** What every `fromPretrained` takes. */
export interface PretrainedOptions extends HubOptions {
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: ProgressEvent) => void) | undefined;
}

/** The keys of `PretrainedOptions`. */
export const PRETRAINED_OPTIONS: readonly (keyof PretrainedOptions)[] = [...HUB_OPTIONS, 'signal', 'onProgress'];

export interface OpenPretrainedOptions extends PretrainedOptions {
  /**
   * Where the codec comes from: a folder of EnCodec 24 kHz or of a Bark. Default: the model itself,
   * else the Hub's facebook/encodec_24khz.
   */
  codec?: ModelSourceLike | undefined;
}

/** A model whose configs are read. */
export interface Pretrained {
  readonly source: ModelSource;
  readonly layout: 'huggingface' | 'suno';
  readonly config: BarkConfig;
  readonly generation_config: BarkGenerationConfig;
  /** What errors about `generation_config` call it. */
  readonly generationLabel: string;
  /** Where the codec is to come from; undefined for the model's own. */
  readonly codec: Codec | undefined;
  /**
   * Opens the weights, all under HF's names; closing the checkpoint closes the files. Throws
   * `WeightsError` where there are none, or no codec; with `codec: 'optional'` the GPTs alone do.
   */
  openWeights(options?: { codec?: 'required' | 'optional' }): Promise<Checkpoint>;
  /** Closes what is open when `openWeights` has not been called. */
  close(): Promise<void>;
}

/** The same for opening single files. */
export function openOptions({ signal, onProgress }: PretrainedOptions): OpenOptions {
  return { signal, onDownload: onProgress && ((progress) => onProgress({ stage: 'download', ...progress })) };
}

/**
 * Opens a model's folder; without `source`, that of the built-in demo voice. Errors as in
 * `openModelSource`.
 */
export async function resolveSource(source?: ModelSourceLike, options: HubOptions = {}): Promise<ModelSource> {
  return source === undefined ? openDemoVoice(options) : openModelSource(source, hubOptions(options));
}

/**
 * Finds a model and reads its configs. Throws `WeightsError` for files that are missing, damaged or
 * contradict themselves.
 */
export async function openPretrained(from?: ModelSourceLike, options: OpenPretrainedOptions = {}): Promise<Pretrained> {
  const source = await resolveSource(from, options);
  const opening = openOptions(options);
  const chosen =
    options.codec === undefined
      ? undefined
      : await openCodec(await openModelSource(options.codec, otherHub(options)), opening);
  const hasConfig = await source.has('config.json', opening);
  // suno's files may lie beside the config.json of their Hub repository, without its weights.
  const openOwn = hasConfig ? await findCheckpoint(source, opening) : undefined;
  const files = openOwn ? undefined : await findSunoFiles(source, opening);
  const generationJson = (await source.has('generation_config.json', opening))
    ? await readJson(source, 'generation_config.json', opening)
    : files
      ? PUBLISHED_SAMPLING
      : {};
  const generationLabel = generationName(`${source.label}/generation_config.json`, generationJson);
  const generation_config = BarkGenerationConfig.fromJSON(generationJson, generationLabel);

  if (files) {
    const found = chosen ?? (await findCodec(source, opening, options));
    const { checkpoint, ...configs } = await openSuno(source, files, opening);
    const codec_config = found.codec?.config ?? EncodecConfig.fromJSON({});
    const openWeights: Pretrained['openWeights'] = async ({ codec = 'required' } = {}) => {
      if (found.codec) return withCodec(checkpoint, found.codec);
      if (codec === 'optional') return checkpoint;
      await checkpoint.close();
      throw found.error;
    };
    return {
      source,
      layout: 'suno',
      config: { ...configs, codec_config },
      generation_config,
      generationLabel,
      codec: found.codec,
      openWeights,
      close: () => checkpoint.close(),
    };
  }
  if (!hasConfig) {
    const other =
      (await otherEngine(source, opening)) ?? (await modelInside(source, ['config.json', 'text_2.pt', 'text.pt']));
    const none = new WeightsError(
      `${source.label}: got ${other?.got ?? 'no config.json and no text_2.pt'}, expected a model of Hugging Face's or suno's. ${other?.advice ?? 'Is this the folder of a Bark model?'}`,
    );
    throw await whyMissing(source, 'config.json', none, opening);
  }

  const config = BarkConfig.fromJSON(await readJson(source, 'config.json', opening), `${source.label}/config.json`);
  if (chosen?.codec) config.codec_config = chosen.codec.config;
  const openWeights: Pretrained['openWeights'] = async ({ codec = 'required' } = {}) => {
    const own = renamed(await (openOwn ? openOwn() : openCheckpoint(source, opening)), barkName);
    try {
      if (chosen?.codec) return await withCodec(own, chosen.codec);
      if (own.names().some((name) => name.startsWith(CODEC))) return own;
      const found = await findCodec(source, opening, options);
      if (found.codec) return await withCodec(own, found.codec);
      if (codec === 'optional') return own;
      throw found.error;
    } catch (error) {
      await own.close();
      throw error;
    }
  };
  return {
    source,
    layout: 'huggingface',
    config,
    generation_config,
    generationLabel,
    codec: chosen?.codec,
    openWeights,
    close: async () => {},
  };
}

// What the Hub's generation_config.json of suno's models says about drawing tokens: with the bare
// defaults the speech is greedy, and bad.
const PUBLISHED_SAMPLING = {
  semantic_config: { do_sample: true, temperature: 0.7, top_k: 50, top_p: 1 },
  coarse_acoustics_config: { do_sample: true, temperature: 0.7, top_k: 50, top_p: 1 },
  fine_acoustics_config: { temperature: 0.5 },
};

/** A codec whose config is read. */
interface Codec {
  readonly source: ModelSource;
  readonly config: EncodecConfig;
  /** The codec's weights under the names of HF's EncodecModel. */
  open(): Promise<Checkpoint>;
}

type FoundCodec =
  | { readonly codec: Codec; readonly error?: undefined }
  | { readonly codec?: undefined; readonly error: Error };

/** The codec of a place that the caller named: an EnCodec, or a Bark that has one. */
async function openCodec(source: ModelSource, opening: OpenOptions): Promise<{ codec: Codec }> {
  const json = (await source.has('config.json', opening)) ? await readJson(source, 'config.json', opening) : {};
  if ((json as { model_type?: unknown } | null)?.model_type !== 'bark') {
    return {
      codec: {
        source,
        config: await readCodecConfig(source, opening),
        open: () => openCodecCheckpoint(source, opening),
      },
    };
  }
  const openWeights = await findCheckpoint(source, opening);
  const meta = openWeights ? undefined : await metaCodec(source, opening);
  if (meta) return { codec: meta };
  const { codec_config } = BarkConfig.fromJSON(json, `${source.label}/config.json`);
  const open = async () => {
    const inside = renamed(await (openWeights ? openWeights() : openCheckpoint(source, opening)), (name) =>
      name.startsWith(CODEC) ? codecName(name.slice(CODEC.length)) : undefined,
    );
    if (inside.names().length > 0) return inside;
    await inside.close();
    throw new WeightsError(
      `${inside.label}: got a Bark without a codec, expected one with ${CODEC}* tensors. Name a folder with EnCodec 24 kHz as the codec (--codec).`,
    );
  };
  return { codec: { source, config: codec_config, open } };
}

/** Meta's file, whatever else the folder holds; undefined where there is none. */
async function metaCodec(source: ModelSource, opening: OpenOptions): Promise<Codec | undefined> {
  const found = await findSunoCodec(source, opening);
  if (!found) return undefined;
  const alone: ModelSource = {
    label: found.place.label,
    has: async (path) => path === META_FILE,
    open: (path, open) => found.place.open(found.folder + path, open),
  };
  return { source: alone, config: EncodecConfig.fromJSON({}), open: () => openCodecCheckpoint(alone, opening) };
}

/** The codec of GPTs that come without one: Meta's file beside them, else the Hub's. */
async function findCodec(
  source: ModelSource,
  opening: OpenOptions,
  options: OpenPretrainedOptions,
): Promise<FoundCodec> {
  const meta = await metaCodec(source, opening);
  if (meta) return { codec: meta };
  try {
    const hub = await openHub(CODEC_REPOSITORY, otherHub(options));
    if (!(await hasCodec(hub, opening))) throw new WeightsError(`${CODEC_REPOSITORY}: got no weights.`);
    return {
      codec: {
        source: hub,
        config: await readCodecConfig(hub, opening),
        open: () => openCodecCheckpoint(hub, opening),
      },
    };
  } catch (cause) {
    options.signal?.throwIfAborted();
    const why = cause instanceof Error ? cause.message : String(cause);
    return {
      error: new WeightsError(
        `${source.label}: got no codec, expected ${META_FILE} beside the models or ${CODEC_REPOSITORY} from the Hub (${why}) Name a folder with EnCodec 24 kHz as the codec (--codec).`,
        { cause },
      ),
    };
  }
}

/** A revision is the model's own, not that of other repositories. */
export function otherHub(options: HubOptions): HubOptions {
  return { ...hubOptions(options), revision: undefined };
}

async function withCodec(gpts: Checkpoint, codec: Codec): Promise<Checkpoint> {
  try {
    const stages = ['semantic.', 'coarse_acoustics.', 'fine_acoustics.'].map((prefix) => [prefix, gpts] as const);
    return joined(gpts.label, new Map([...stages, [CODEC, prefixed(await codec.open(), CODEC)]]));
  } catch (error) {
    await gpts.close();
    throw error;
  }
}

/** A Bark's codec may have Meta's names, too. */
function barkName(name: string): string {
  return name.startsWith(CODEC) ? CODEC + codecName(name.slice(CODEC.length)) : name;
}

async function openDemoVoice(hub: HubOptions): Promise<ModelSource> {
  refuseRevision('Demo voice', hub);
  const root = await packageRoot();
  const folder = root && new URL('bark/demo_voice/', root);
  const opened = folder && (await openModelSource(folder).catch(() => undefined));
  if (await opened?.has('config.json').catch(() => false)) return opened!;
  throw new WeightsError(
    `Demo voice: got no model at ${folder?.href ?? 'a folder of this package: the code was bundled into another program'}, expected the one that comes with the package. Name a model instead.`,
  );
}

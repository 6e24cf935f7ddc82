// The codec as a model: opens a checkpoint, brings the decoder to the GPU and frees it again, turns
// codes into samples. There is no encoder yet.
// Reference: HF EncodecModel.decode for one chunk; the 24 kHz model has neither chunks nor a
// loudness scale.

import { toDevice, toShapes } from '../kernels/upload/destination.ts';
import type { Checkpoint } from '../runtime/formats/checkpoint.ts';
import { Device } from '../runtime/compute/device.ts';
import { InputError, madeBy } from '../runtime/base/errors.ts';
import { shown } from '../runtime/base/messages.ts';
import { checkOptions } from '../runtime/base/options.ts';
import { checkDevice } from '../runtime/compute/given_device.ts';
import { SHAPE_ONLY } from '../runtime/compute/shape_only.ts';
import { compileAll, record, type Recorder } from '../runtime/compute/program.ts';
import type { Owner } from '../runtime/compute/ledger.ts';
import { whileCompiling, type LoadProgress } from '../runtime/compute/residency.ts';
import { ResidentModel } from '../runtime/compute/resident_model.ts';
import { openModelSource, type ModelSourceLike } from '../runtime/sources/open_source.ts';
import type { Tensor } from '../runtime/compute/tensor.ts';
import { walkWeights, type Weights } from '../runtime/formats/weights.ts';
import { listClips, type Clip, type Codes } from './codes.ts';
import { openCodecCheckpoint, readCodecConfig } from './checkpoint.ts';
import { hopLength, numQuantizers, type EncodecConfig } from './config.ts';
import { decode, decoderTensors, loadDecoder, widest, type Decoder } from './decoder.ts';
import type { OpenOptions } from '../runtime/files/model_source.ts';
import { HUB_OPTIONS, hubOptions, type HubOptions } from '../runtime/sources/hub/settings.ts';

export interface EncodecOptions extends HubOptions, OpenOptions {
  /** Default: the model requests a device of its own, which `dispose()` frees. */
  device?: Device | undefined;
  /** The most codebooks that codes may have; default: all that config.json's bandwidths need. */
  codebooks?: number | undefined;
}

export interface CodecDecodeOptions {
  signal?: AbortSignal | undefined;
  /** Clips done, of `total`. */
  onProgress?: ((done: number, total: number) => void) | undefined;
}

/** What a model that contains a codec, such as Bark, passes to the constructor. */
export interface EncodecParts {
  readonly device: Device;
  readonly config: EncodecConfig;
  /** The tensor names below this path are those of HF's EncodecModel. */
  readonly weights: Weights;
  /** The most codebooks that codes may have; default: all that config.json's bandwidths need. */
  readonly codebooks?: number | undefined;
}

export class EncodecModel extends ResidentModel<Decoder> {
  readonly config: EncodecConfig;
  readonly device: Device;
  /** The most codebooks that codes may have. */
  readonly codebooks: number;
  #owned: { device?: Device; checkpoint?: Checkpoint } = {};
  readonly #weights: Weights;
  #disposed = false;

  /** Nothing is read before `upload()` or `decode()`. */
  constructor(
    { device, config, weights, codebooks = numQuantizers(config) }: EncodecParts = madeBy(
      'EncodecModel',
      'EncodecModel.fromPretrained(source)',
    ),
  ) {
    super(device, 'codec.weights');
    checkCodebooks(codebooks);
    this.device = device;
    this.config = config;
    this.codebooks = codebooks;
    this.#weights = weights;
  }

  /**
   * Opens EnCodec 24 kHz, a folder of HF's or Meta's own file, and uploads its decoder. Throws
   * `WeightsError` for files that are missing or damaged.
   */
  static async fromPretrained(source: ModelSourceLike, options: EncodecOptions = {}): Promise<EncodecModel> {
    checkOptions(`${DOOR}.fromPretrained`, options, CODEC_OPTIONS);
    checkDevice(`${DOOR}.fromPretrained`, options.device);
    const { signal, codebooks } = options;
    if (codebooks !== undefined) checkCodebooks(codebooks);
    signal?.throwIfAborted();
    const folder = await openModelSource(source, hubOptions(options));
    const config = await readCodecConfig(folder, options);
    const checkpoint = await openCodecCheckpoint(folder, options);
    const owned: { device?: Device; checkpoint: Checkpoint } = { checkpoint };
    let model: EncodecModel | undefined;
    try {
      const device = options.device ?? (owned.device = await Device.request());
      model = new EncodecModel({ device, config, weights: walkWeights(checkpoint), codebooks });
      await whileCompiling(model.compile(), signal, (either) => model!.upload({ signal: either }));
      model.#owned = owned;
      return model;
    } catch (error) {
      model?.unload();
      owned.device?.dispose();
      await checkpoint.close();
      throw error;
    }
  }

  /** Hz. */
  get sampling_rate(): number {
    return this.config.sampling_rate;
  }

  /** Number of times `upload` calls `onTensor`. */
  get tensors(): number {
    return decoderTensors(this.config);
  }

  protected override load(owner: Owner, progress: LoadProgress): Promise<Decoder> {
    // The codec is always f32: it is small, and its errors would be heard.
    const to = toDevice(this.device, { dtype: 'f32', owner, ...progress });
    return loadDecoder(to, this.config, this.#weights, this.codebooks);
  }

  /** Brings the decoder to the GPU; does nothing when it is there. */
  override async upload(progress: LoadProgress = {}): Promise<void> {
    this.#expectLive();
    await super.upload(progress);
  }

  /** Has the driver compile the pipelines of `decode`; needs no weights. */
  async compile(): Promise<void> {
    const decoder = await loadDecoder(toShapes('f32', this.device.kind), this.config, this.#weights, this.codebooks);
    await compileAll(
      this.device,
      (r) => void decode(r, this.config, decoder, SHAPE_ONLY.createTensor([1, this.codebooks, 1], 'u32', 'shape only')),
    );
  }

  /** Decodes a single frame: some drivers finish compiling pipelines only when they run. */
  async warmUp(): Promise<void> {
    await this.decode({ data: new Int32Array(this.codebooks), shape: [this.codebooks, 1] });
  }

  #expectLive(): void {
    if (this.#disposed)
      throw new InputError('EncodecModel: it was disposed, expected a live one. Load the model again.');
  }

  /**
   * T · hop samples for each clip, in order, nominally within [−1, 1]. Clips may differ in length;
   * those of one length share a pass. Throws `InputError` for codes that this codec cannot have
   * made.
   */
  async decode(
    codes: Codes | readonly Codes[],
    options: CodecDecodeOptions = {},
  ): Promise<Float32Array<ArrayBuffer>[]> {
    checkOptions('codec.decode', options, ['signal', 'onProgress']);
    const { signal } = options;
    this.#expectLive();
    signal?.throwIfAborted();
    const clips = listClips(codes);
    for (const clip of clips) this.#check(clip);
    if (clips.length === 0) return [];
    return this.use((decoder) => this.#decode(decoder, clips, options), { signal });
  }

  async #decode(
    decoder: Decoder,
    clips: readonly Clip[],
    { signal, onProgress }: CodecDecodeOptions,
  ): Promise<Float32Array<ArrayBuffer>[]> {
    const results: Float32Array<ArrayBuffer>[] = new Array(clips.length);
    let done = 0;
    for (const pass of this.#passes(clips)) {
      signal?.throwIfAborted();
      const { codebooks, frames } = clips[pass[0]!]!;
      const input = new Int32Array(pass.length * codebooks * frames);
      pass.forEach((clip, row) => input.set(clips[clip]!.data, row * codebooks * frames));
      let ids!: Tensor;
      let audio!: Tensor;
      const body = (r: Recorder) => {
        ids = r.temp([pass.length, codebooks, frames], 'codes', 'u32');
        audio = decode(r, this.config, decoder, ids);
      };
      const program = await record(this.device, body, { label: 'codec' });
      try {
        signal?.throwIfAborted(); // compiling may have taken seconds
        this.device.write(ids, input);
        program.run();
        const samples = new Float32Array(await this.device.read(audio));
        const length = frames * hopLength(this.config);
        pass.forEach(
          (clip, row) =>
            (results[clip] = pass.length === 1 ? samples : samples.slice(row * length, (row + 1) * length)),
        );
      } finally {
        program.dispose();
      }
      onProgress?.((done += pass.length), clips.length);
    }
    return results;
  }

  /** Frees the weights, and the device and the files where the model opened them itself. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.unload();
    this.#owned.device?.dispose();
    void this.#owned.checkpoint?.close().catch(() => {}); // the file was only read
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #check({ data, codebooks, frames }: Clip): void {
    const { codebook_size } = this.config;
    if (codebooks < 1 || codebooks > this.codebooks)
      throw new InputError(
        `Codes: got ${codebooks} codebooks, expected 1 to ${this.codebooks}. Leave out the ones this codec lacks.`,
      );
    if (frames < 1) throw new InputError('Codes: got no frames, expected at least one.');
    const wrong = data.findIndex((id) => id < 0 || id >= codebook_size);
    if (wrong >= 0)
      throw new InputError(
        `Codes: got id ${data[wrong]} in codebook ${Math.floor(wrong / frames)}, frame ${wrong % frames}, expected 0 to ${codebook_size - 1}. Subtract the offsets of the model that made them.`,
      );
  }

  /** Groups of clips, as indices, that are decoded in one pass: of one shape, as many as fit. */
  #passes(clips: readonly Clip[]): number[][] {
    const alike = new Map<string, number[]>();
    clips.forEach(({ codebooks, frames }, i) => {
      const key = `${codebooks} ${frames}`;
      alike.set(key, [...(alike.get(key) ?? []), i]);
    });
    const { maxStorageBufferBindingSize, maxBufferSize } = this.device.limits;
    // Bytes of one frame in the largest tensor that is not computed in slices.
    const bytes = 4 * Math.max(4 * widest(this.config), hopLength(this.config), this.config.hidden_size);
    return [...alike.values()].flatMap((group) => {
      const most = Math.max(
        1,
        Math.min(
          MOST_CLIPS,
          Math.floor(Math.min(maxStorageBufferBindingSize, maxBufferSize) / (bytes * clips[group[0]!]!.frames)),
        ),
      );
      return Array.from({ length: Math.ceil(group.length / most) }, (_, i) => group.slice(i * most, (i + 1) * most));
    });
  }
}

const DOOR = 'EncodecModel';
const CODEC_OPTIONS: readonly (keyof EncodecOptions)[] = [
  'device',
  'codebooks',
  ...HUB_OPTIONS,
  'signal',
  'onDownload',
];

function checkCodebooks(codebooks: unknown): void {
  if (!Number.isInteger(codebooks) || (codebooks as number) < 1)
    throw new InputError(
      `${DOOR}: got ${shown(codebooks, 'setting')} codebooks, expected a whole number of at least 1.`,
    );
}

// Clips in one pass. More do not fill a GPU better, and make the slices of time short.
const MOST_CLIPS = 16;

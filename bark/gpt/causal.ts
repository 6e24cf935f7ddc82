// A causal GPT of Bark as a user of the library sees it: `upload`, `unload`, and `forward` for
// research and for comparison with the reference. Generation is in semantic.ts and coarse.ts.
// Reference: HF BarkCausalModel.

import { withStaging } from '../../kernels/upload/cast.ts';
import { toDevice, toShapes } from '../../kernels/upload/destination.ts';
import type { WeightDType } from '../../kernels/upload/matrix.ts';
import { uploadMatrix } from '../../kernels/upload/upload.ts';
import { createUniform, writeCall } from '../../kernels/state.ts';
import type { Device } from '../../runtime/compute/device.ts';
import { InputError, madeBy } from '../../runtime/base/errors.ts';
import { checkOptions, wrongOption } from '../../runtime/base/options.ts';
import type { Owner } from '../../runtime/compute/ledger.ts';
import { record } from '../../runtime/compute/program.ts';
import type { Tensor } from '../../runtime/compute/tensor.ts';
import type { LoadProgress } from '../../runtime/compute/residency.ts';
import { ResidentModel } from '../../runtime/compute/resident_model.ts';
import { readRows, type TensorRef, type Weights } from '../../runtime/formats/weights.ts';
import type { BarkSubModelConfig } from '../config/config.ts';
import { hostTensor, refuseMask, type HostTensor, type TensorLike } from './host_tensor.ts';
import {
  createCache,
  destroyCache,
  headLogits,
  loadCausalGpt,
  runTokens,
  trunkTensors,
  type CausalGpt,
  type KvCache,
  type Rows,
} from './gpt.ts';
import { noStageAlone, type StageOptions } from './stage.ts';
import type { Linear } from '../../kernels/common/products.ts';

/**
 * Keys and values of past positions, on the GPU. Call `dispose()` when it is no longer needed.
 */
export class PastKeyValues {
  /** Number of positions it holds. */
  readonly length: number;
  /**
   * Internal: the buffers. `forward` with `pastKeyValues` writes into them, so what it returns
   * shares them, and disposing either frees both.
   */
  readonly cache: KvCache;
  readonly #device: Device;

  constructor(device: Device, cache: KvCache, length: number) {
    this.#device = device;
    this.cache = cache;
    this.length = length;
  }

  dispose(): void {
    destroyCache(this.#device, this.cache);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

export interface CausalForwardInputs {
  /** Token ids (B, T). */
  inputIds?: TensorLike;
  /** Token embeddings (B, T, H) without positions, in place of `inputIds`. */
  inputsEmbeds?: TensorLike;
  /** What an earlier call returned; the new positions continue it. */
  pastKeyValues?: PastKeyValues;
  /** Whether `pastKeyValues` is returned. Default false. */
  useCache?: boolean;
}

const FORWARD_INPUTS: readonly (keyof CausalForwardInputs)[] = [
  'inputIds',
  'inputsEmbeds',
  'pastKeyValues',
  'useCache',
];

export interface CausalForwardOutputs {
  /** (B, T, V) with V = output_vocab_size. */
  logits: HostTensor<Float32Array>;
  pastKeyValues?: PastKeyValues;
}

/** A causal model on the GPU, and its whole head once `forward` has asked for it. */
interface Loaded extends CausalGpt {
  readonly owner: Owner;
  wholeHead?: Promise<Pick<Linear, 'weight' | 'bias'>>;
}

/** `forward` reads embeddings from the checkpoint, and uploads the whole head itself. */
const FORWARD_ROWS: Rows = { table: [[0, 1]], head: [[0, 1]] };

export class BarkCausalModel extends ResidentModel<Loaded> {
  readonly config: BarkSubModelConfig;
  protected readonly device: Device;
  /** The stage's name in the checkpoint, the memory report and error messages. */
  protected readonly stage: string;
  readonly #weights: Weights;
  readonly #dtype: WeightDType;
  readonly #rows: Rows;
  protected readonly misfit: Error | undefined;

  /** `rows`: the rows of table and head that generation can meet; only these are uploaded. */
  constructor(
    { device, weights, dtype, misfit }: StageOptions = madeBy('BarkCausalModel', 'BarkModel.fromPretrained(source)'),
    config: BarkSubModelConfig,
    rows: Rows,
  ) {
    super(device, `${weights.path}.weights`);
    this.device = device;
    this.config = config;
    this.stage = weights.path;
    this.#weights = weights;
    this.#dtype = dtype;
    this.#rows = misfit ? FORWARD_ROWS : rows;
    this.misfit = misfit;
  }

  /** Always throws `UnsupportedError`: a stage is part of a model. */
  static fromPretrained(..._: unknown[]): Promise<never> {
    return noStageAlone(this.name, 'semantic and coarse_acoustics');
  }

  /** Number of times `upload` calls `onTensor`. */
  get tensors(): number {
    return trunkTensors(this.config) + 1;
  }

  protected override async load(owner: Owner, progress: LoadProgress): Promise<Loaded> {
    const to = toDevice(this.device, { dtype: this.#dtype, owner, ...progress });
    const gpt = await withStaging(this.device, () => loadCausalGpt(to, this.#weights, this.config, this.#rows));
    return { ...gpt, owner };
  }

  /**
   * The model with shapes and without weights, to compile its pipelines. Throws `WeightsError` for
   * a tensor that the checkpoint lacks or has in another shape.
   */
  protected shape(): Promise<CausalGpt> {
    return loadCausalGpt(toShapes(this.#dtype, this.device.kind), this.#weights, this.config, this.#rows);
  }

  protected get table(): TensorRef {
    return this.#weights.tensor(
      'input_embeds_layer.weight',
      [this.config.input_vocab_size, this.config.hidden_size],
      'input_vocab_size',
    );
  }

  /**
   * Token embeddings (n, H) f32, read from the checkpoint: the whole table would not fit the
   * bindings of many adapters.
   */
  embed(ids: ArrayLike<number>): Promise<Float32Array> {
    return readRows(this.table, ids);
  }

  /**
   * Logits (B, T, V) of every position over the whole vocabulary. For research: generation never
   * computes most of them. The first call uploads the whole head, which stays until `unload()`.
   * Throws `InputError` for shapes that do not fit.
   */
  async forward(inputs: CausalForwardInputs): Promise<CausalForwardOutputs> {
    const door = `${this.stage}.forward`;
    refuseMask(door, inputs);
    checkOptions(door, inputs, FORWARD_INPUTS, { of: 'inputs' });
    const { inputIds, inputsEmbeds, pastKeyValues, useCache = false } = inputs ?? {};
    if (pastKeyValues !== undefined && !(pastKeyValues instanceof PastKeyValues))
      throw wrongOption(
        door,
        'pastKeyValues',
        pastKeyValues,
        'what forward({ …, useCache: true }) returned under that name',
      );
    const { hidden_size: H, block_size } = this.config;
    if (!inputIds === !inputsEmbeds)
      throw new InputError(
        `${this.stage}.forward: got ${inputIds ? 'both' : 'neither'} of inputIds and inputsEmbeds, expected one.`,
      );
    const given = hostTensor((inputIds ?? inputsEmbeds)!, `${this.stage}.forward`);
    const [B = 0, T = 0, width] = given.shape;
    const start = pastKeyValues?.length ?? 0;
    if (B < 1 || T < 1 || given.shape.length !== (inputIds ? 2 : 3) || (inputsEmbeds && width !== H)) {
      throw new InputError(
        `${this.stage}.forward: got shape (${given.shape.join(', ')}), expected (B, T${inputIds ? '' : `, ${H}`}).`,
      );
    }
    if (start + T > block_size)
      throw new InputError(
        `${this.stage}.forward: got ${start} past and ${T} new positions, expected at most block_size ${block_size} together.`,
      );
    if (pastKeyValues && pastKeyValues.cache.length !== this.config.num_layers)
      throw new InputError(
        `${this.stage}.forward: pastKeyValues has ${pastKeyValues.cache.length} layers, expected ${this.config.num_layers}. Pass what this model returned.`,
      );
    if (pastKeyValues && pastKeyValues.cache[0]!.keys.shape[0] !== B)
      throw new InputError(
        `${this.stage}.forward: pastKeyValues is of ${pastKeyValues.cache[0]!.keys.shape[0]} rows, expected ${B} as in the inputs.`,
      );

    const rows = inputIds ? await this.embed(given.data) : Float32Array.from(given.data); // (B, T, H)
    return this.use((loaded) => this.#forward(loaded, rows, [B, T], pastKeyValues, useCache));
  }

  async #forward(
    gpt: Loaded,
    rows: Float32Array,
    [B, T]: [number, number],
    past: PastKeyValues | undefined,
    useCache: boolean,
  ): Promise<CausalForwardOutputs> {
    const { hidden_size: H, block_size, output_vocab_size: V } = this.config;
    const { device } = this;
    const head = await (gpt.wholeHead ??= this.#wholeHead(gpt));
    const start = past?.length ?? 0;
    const owner = { name: `${this.stage}.forward` }; // an object, so that only what this call makes is freed
    const cacheOwner = { name: owner.name };
    try {
      const cache = past?.cache ?? createCache(device, this.config, B, block_size, this.#dtype, cacheOwner);
      const call = createUniform(device, 3, owner, 'call');
      const places = device.createTensor([T, 1], 'u32', owner, 'ids');
      const x = device.createTensor([T, H], 'f32', owner, 'embeds');
      device.write(
        places,
        Uint32Array.from({ length: T }, (_, i) => i),
      );
      let logits: Tensor | undefined;
      const program = await record(
        device,
        (r) =>
          (logits = headLogits(
            r,
            gpt,
            runTokens(r, gpt, x, places, cache, call, { causal: true, plainTable: true }),
            head,
            {
              from: 0,
              call,
            },
          )),
        { label: owner.name },
      );
      const data = new Float32Array(B * T * V);
      try {
        for (let b = 0; b < B; b++) {
          device.write(x, rows.subarray(b * T * H, (b + 1) * T * H));
          writeCall(device, call, { count: T, start, slot: b });
          program.run();
          data.set(await device.readFloat32(logits!), b * T * V);
        }
      } finally {
        program.dispose();
      }
      if (!useCache) device.destroyOwned(cacheOwner);
      return {
        logits: { data, shape: [B, T, V] },
        ...(useCache ? { pastKeyValues: new PastKeyValues(device, cache, start + T) } : {}),
      };
    } catch (error) {
      device.destroyOwned(cacheOwner);
      throw error;
    } finally {
      device.destroyOwned(owner);
    }
  }

  async #wholeHead({ head, owner }: Loaded): Promise<Pick<Linear, 'weight' | 'bias'>> {
    const { output_vocab_size: V, hidden_size: H } = this.config;
    if (head.weight.shape[0] === V) return head;
    const ref = this.#weights.tensor('lm_head.weight', [V, H], 'output_vocab_size');
    return { weight: await uploadMatrix(this.device, ref, { dtype: this.#dtype, owner }), bias: null };
  }
}

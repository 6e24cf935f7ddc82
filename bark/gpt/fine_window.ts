// A window of frames in the fine stage: the codes on the GPU, and for each codebook a recorded
// program that predicts the codebook from those before it and draws it into the same window.

import { sampleCodes, SAMPLING_CODES_WORDS } from '../../kernels/sample/sample_codes.ts';
import { createUniform, writeCall } from '../../kernels/state.ts';
import type { WeightDType } from '../../kernels/upload/upload.ts';
import { Arena } from '../../runtime/compute/arena.ts';
import type { Device } from '../../runtime/compute/device.ts';
import { record, type Program, type Recorder } from '../../runtime/compute/program.ts';
import type { Allocator } from '../../runtime/compute/shape_only.ts';
import type { Tensor } from '../../runtime/compute/tensor.ts';
import type { FineGpt } from './fine_gpt.ts';
import { createCache, destroyCache, headLogits, runTokens, type KvCache, type LastRows } from './gpt.ts';

/** What the programs over a window of M frames read and write, besides weights. */
export interface WindowTensors {
  readonly codes: Tensor; // (M, n_codes_total) u32
  readonly call: Tensor; // the kernels' `Call` for all frames
  readonly last: LastRows; // the frames that are predicted; those before them are context
  // All layers share one layer's memory: only the layer that wrote keys and values reads them.
  readonly cache: KvCache;
}

export function createWindowTensors(
  on: Allocator,
  { config, blocks }: FineGpt,
  frames: number,
  from: number,
  dtype: WeightDType,
  owner: string,
): WindowTensors {
  const layer = createCache(on, { ...config, num_layers: 1 }, 1, frames, dtype, `${owner}.activations`)[0]!;
  return {
    codes: on.createTensor([frames, config.n_codes_total], 'u32', `${owner}.state`, 'codes'),
    call: createUniform(on, 3, `${owner}.state`, 'call'),
    last: { from, call: createUniform(on, 3, `${owner}.state`, 'call of the last rows') },
    cache: blocks.map(() => layer),
  };
}

/** Records the logits (M, count) of one codebook: the first `count` rows of its head. */
function recordLogits(
  r: Recorder,
  gpt: FineGpt,
  { codes, call, last, cache }: WindowTensors,
  codebook: number,
  count: number,
): Tensor {
  const head = gpt.heads[codebook - gpt.config.n_codes_given]!;
  const x = runTokens(r, gpt, gpt.tables, codes, cache, call, {
    causal: false,
    last,
    columns: codebook + 1,
    vocab: gpt.vocab,
  });
  return headLogits(r, gpt, x, { weight: { ...head, shape: [count, head.shape[1]!] }, bias: null }, last);
}

/** Records one codebook's logits and the draw, which writes the codes into the window. */
export const recordPass = (
  r: Recorder,
  gpt: FineGpt,
  tensors: WindowTensors,
  codebook: number,
  count: number,
  settings: Tensor,
): void => sampleCodes(r, tensors.codes, recordLogits(r, gpt, tensors, codebook, count), settings);

/** A window of codes on the GPU, and the programs that are recorded over it. */
export class FineWindow {
  readonly #device: Device;
  readonly #gpt: FineGpt;
  readonly #tensors: WindowTensors;
  readonly #arena: Arena;
  readonly #owner: string;
  readonly #settings: Tensor[] = [];
  readonly #programs: Program[] = [];

  constructor(device: Device, gpt: FineGpt, frames: number, from: number, dtype: WeightDType, owner: string) {
    this.#device = device;
    this.#gpt = gpt;
    this.#owner = owner;
    this.#tensors = createWindowTensors(device, gpt, frames, from, dtype, owner);
    this.#arena = new Arena(device, `${owner}.activations`);
    writeCall(device, this.#tensors.call, { count: frames });
    writeCall(device, this.#tensors.last.call, { start: from, count: frames - from });
  }

  /** (M, n_codes_total) u32. */
  get codes(): Tensor {
    return this.#tensors.codes;
  }

  /** From now on every run computes no frame: its kernels return at once. */
  idle(): void {
    for (const call of [this.#tensors.call, this.#tensors.last.call]) writeCall(this.#device, call, { count: 0 });
  }

  /** Records a program for the logits (M, count) of one codebook. */
  async logits(codebook: number, count: number): Promise<{ program: Program; logits: Tensor }> {
    let logits: Tensor | undefined;
    const program = await this.#record(
      (r) => (logits = recordLogits(r, this.#gpt, this.#tensors, codebook, count)),
      this.#owner,
    );
    return { program, logits: logits! };
  }

  /**
   * Records a program for each codebook from `given` to `codebooks` − 1: its logits, and the draw
   * into the window. `settings` holds the draw's parameters.
   */
  async passes(
    given: number,
    codebooks: number,
    count: number,
  ): Promise<{ column: number; program: Program; settings: Tensor }[]> {
    const columns = Array.from({ length: codebooks - given }, (_, i) => given + i);
    return Promise.all(
      columns.map(async (column) => {
        const settings = createUniform(this.#device, SAMPLING_CODES_WORDS, `${this.#owner}.state`, 'sampling');
        this.#settings.push(settings);
        const program = await this.#record(
          (r) => recordPass(r, this.#gpt, this.#tensors, column, count, settings),
          `${this.#owner} codebook ${column}`,
        );
        return { column, program, settings };
      }),
    );
  }

  async #record(body: (r: Recorder) => void, label: string): Promise<Program> {
    const program = await record(this.#device, body, { label, arena: this.#arena });
    this.#programs.push(program);
    return program;
  }

  dispose(): void {
    for (const program of this.#programs) program.dispose();
    this.#arena.dispose();
    const { codes, call, last, cache } = this.#tensors;
    destroyCache(this.#device, cache.slice(0, 1));
    for (const t of [codes, call, last.call, ...this.#settings]) this.#device.destroyBuffer(t.buffer);
  }
}

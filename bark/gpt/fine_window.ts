// A window of frames in the fine stage: the codes on the GPU, and recorded programs that predict
// one codebook from those before it and draw it into the same window. The blocks are the same for
// all codebooks and recorded once; embedding and head are recorded for each.

import { embedding } from '../../kernels/embedding/embedding.ts';
import { sampleCodes, SAMPLING_CODES_WORDS } from '../../kernels/sample/sample_codes.ts';
import { createUniform, writeCall } from '../../kernels/state.ts';
import type { WeightDType } from '../../kernels/upload/matrix.ts';
import { Arena } from '../../runtime/compute/arena.ts';
import type { Device } from '../../runtime/compute/device.ts';
import { record, type Program, type Recorder } from '../../runtime/compute/program.ts';
import type { Allocator } from '../../runtime/compute/shape_only.ts';
import type { Tensor } from '../../runtime/compute/tensor.ts';
import type { FineGpt } from './fine_gpt.ts';
import { createCache, destroyCache, headLogits, runBlocks, type KvCache, type LastRows } from './gpt.ts';

/** What the programs over a window of M frames read and write, besides weights. */
export interface WindowTensors {
  readonly codes: Tensor; // (M, n_codes_total) u32
  readonly x: Tensor; // (M, H) f32, the residual stream
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
    x: on.createTensor([frames, config.hidden_size], 'f32', `${owner}.activations`, 'x'),
    call: createUniform(on, 3, `${owner}.state`, 'call'),
    last: { from, call: createUniform(on, 3, `${owner}.state`, 'call of the last rows') },
    cache: blocks.map(() => layer),
  };
}

/** Records x = the embeddings of the codebooks up to `codebook`, summed. */
const recordEmbedding = (r: Recorder, gpt: FineGpt, { codes, x, call }: WindowTensors, codebook: number): void =>
  embedding(r, x, codes, gpt.tables, gpt.positions, call, { columns: codebook + 1, vocab: gpt.vocab });

/** Records the blocks over x, in place. */
const recordBlocks = (r: Recorder, gpt: FineGpt, { x, cache, call, last }: WindowTensors): void =>
  runBlocks(r, gpt, x, cache, call, { causal: false, last });

/** Records the logits (M, count) of one codebook: the first `count` rows of its head. */
function recordHead(r: Recorder, gpt: FineGpt, { x, last }: WindowTensors, codebook: number, count: number): Tensor {
  const head = gpt.heads[codebook - gpt.config.n_codes_given]!;
  return headLogits(r, gpt, x, { weight: { ...head, shape: [count, head.shape[1]!] }, bias: null }, last);
}

/** Records all of one codebook: its logits and the draw, which writes the codes into the window. */
export function recordPass(
  r: Recorder,
  gpt: FineGpt,
  tensors: WindowTensors,
  codebook: number,
  count: number,
  settings: Tensor,
): void {
  recordEmbedding(r, gpt, tensors, codebook);
  recordBlocks(r, gpt, tensors);
  sampleCodes(r, tensors.codes, recordHead(r, gpt, tensors, codebook, count), settings);
}

/** A window of codes on the GPU, and the programs that are recorded over it. */
export class FineWindow {
  readonly #device: Device;
  readonly #gpt: FineGpt;
  readonly #tensors: WindowTensors;
  readonly #arena: Arena;
  readonly #owner: string;
  readonly #settings: Tensor[] = [];
  readonly #programs: Program[] = [];
  #blocks: Promise<Program> | undefined;

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

  /** Records the logits (M, count) of one codebook; `run` computes them. */
  async logits(codebook: number, count: number): Promise<{ run: () => void; logits: Tensor }> {
    let logits: Tensor | undefined;
    const run = await this.#codebook(
      codebook,
      (r) => (logits = recordHead(r, this.#gpt, this.#tensors, codebook, count)),
    );
    return { run, logits: logits! };
  }

  /**
   * Records each codebook from `given` to `codebooks` − 1: its logits, and the draw into the
   * window, which `run` computes. `settings` holds the draw's parameters.
   */
  async passes(
    given: number,
    codebooks: number,
    count: number,
  ): Promise<{ column: number; run: () => void; settings: Tensor }[]> {
    const columns = Array.from({ length: codebooks - given }, (_, i) => given + i);
    return Promise.all(
      columns.map(async (column) => {
        const settings = createUniform(this.#device, SAMPLING_CODES_WORDS, `${this.#owner}.state`, 'sampling');
        this.#settings.push(settings);
        const run = await this.#codebook(column, (r) =>
          sampleCodes(r, this.#tensors.codes, recordHead(r, this.#gpt, this.#tensors, column, count), settings),
        );
        return { column, run, settings };
      }),
    );
  }

  /** Records the embedding, `head` and, the first time, the blocks; returns what runs all three. */
  async #codebook(codebook: number, head: (r: Recorder) => void): Promise<() => void> {
    this.#blocks ??= this.#record((r) => recordBlocks(r, this.#gpt, this.#tensors), `${this.#owner} blocks`);
    const label = `${this.#owner} codebook ${codebook}`;
    const programs = await Promise.all([
      this.#record((r) => recordEmbedding(r, this.#gpt, this.#tensors, codebook), `${label} embedding`),
      this.#blocks,
      this.#record(head, label),
    ]);
    return () => {
      const commands = this.#device.commands(label);
      for (const program of programs) program.encode(commands);
      commands.submit();
    };
  }

  async #record(body: (r: Recorder) => void, label: string): Promise<Program> {
    const program = await record(this.#device, body, { label, arena: this.#arena });
    this.#programs.push(program);
    return program;
  }

  dispose(): void {
    for (const program of this.#programs) program.dispose();
    this.#arena.dispose();
    const { codes, x, call, last, cache } = this.#tensors;
    destroyCache(this.#device, cache.slice(0, 1));
    for (const t of [codes, x, call, last.call, ...this.#settings]) this.#device.destroyBuffer(t.buffer);
  }
}

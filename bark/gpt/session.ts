// What one generation with a causal model holds on the GPU: cache, state, drawn tokens, and the two
// recorded programs that use them, a step (one token of every sentence) and a prefill (the prompt
// of one sentence, all but its last token, which the first step feeds). Made for a call and freed
// after it, so that nothing is held between sentences but weights.

import { sample, samplingParams, SAMPLING_WORDS, type Sampling } from '../../kernels/sample/sample.ts';
import { createState, createUniform, MAX_BATCH, writeCall, writeRow } from '../../kernels/state.ts';
import type { RowWindow } from '../../kernels/linear/linear.ts';
import { Arena } from '../../runtime/compute/arena.ts';
import type { Device } from '../../runtime/compute/device.ts';
import { InputError } from '../../runtime/base/errors.ts';
import type { Owner } from '../../runtime/compute/ledger.ts';
import { SHAPE_ONLY, type Allocator } from '../../runtime/compute/shape_only.ts';
import { compileAll, record, type Program, type Recorder } from '../../runtime/compute/program.ts';
import type { Tensor } from '../../runtime/compute/tensor.ts';
import { createCache, decodeStep, runTokens, type CausalGpt, type KvCache } from './gpt.ts';

export interface SessionOptions {
  /** The ledger's name of the stage, e.g. 'semantic'. */
  owner: string;
  batch: number;
  /** Tokens of the longest prompt, its last one left out. */
  prompt: number;
  /** Tokens of a row of `tokens`: history and draws. */
  pitch: number;
  sampling: Sampling;
  window?: RowWindow;
  /** The prompt is rows of its own (prompt, H) f32, not ids of the model's table. */
  promptRows?: boolean;
}

/** What a session's programs read and write, beside weights. */
interface Tensors {
  readonly cache: KvCache;
  readonly state: Tensor;
  readonly call: Tensor;
  readonly settings: Tensor;
  readonly tokens: Tensor; // (B, pitch) u32
  readonly promptIds: Tensor; // (prompt, 1) u32
  readonly promptRows: Tensor | null; // (prompt, H) f32
}

export interface Session extends Omit<Tensors, 'call' | 'settings'> {
  readonly step: Program;
  /**
   * Runs the first `count` tokens of the prompt buffer into row `slot` of the cache. `before`
   * encodes copies that must come first.
   */
  prefill(slot: number, count: number, before?: (encoder: GPUCommandEncoder) => void): void;
  dispose(): void;
}

type Owners = Readonly<Record<'cache' | 'state' | 'activations', Owner>>;

function createTensors(
  on: Allocator,
  { config, table }: CausalGpt,
  { owner, batch, prompt, pitch, promptRows }: SessionOptions,
  owners: Owners,
): Tensors {
  return {
    // The cache always has the whole block's room: prompts of all lengths fit, and what a sentence
    // takes does not depend on it.
    cache: createCache(on, config, batch, config.block_size, table.dtype as 'f16' | 'f32', owners.cache),
    state: createState(on, owners.state),
    call: createUniform(on, 3, owners.state, `${owner} call`),
    settings: createUniform(on, SAMPLING_WORDS, owners.state, `${owner} sampling`),
    tokens: on.createTensor([batch, pitch], 'u32', owners.state, `${owner} tokens`),
    promptIds: on.createTensor([prompt, 1], 'u32', owners.state, `${owner} prompt`),
    promptRows: promptRows
      ? on.createTensor([prompt, config.hidden_size], 'f32', owners.activations, `${owner} prompt rows`)
      : null,
  };
}

const recordStep = (
  r: Recorder,
  gpt: CausalGpt,
  { cache, state, settings, tokens }: Tensors,
  window?: RowWindow,
): void => sample(r, tokens, decodeStep(r, gpt, cache, state, window), state, settings);

const recordPrefill = (r: Recorder, gpt: CausalGpt, { cache, call, promptIds, promptRows }: Tensors): void =>
  void runTokens(r, gpt, promptRows ?? gpt.table, promptIds, cache, call, { causal: true, cacheOnly: true });

/** Has the driver compile what such a session will run; `gpt` needs no weights. */
export async function compileSession(device: Device, gpt: CausalGpt, options: SessionOptions): Promise<void> {
  const tensors = createTensors(SHAPE_ONLY, gpt, options, {
    cache: 'shape only',
    state: 'shape only',
    activations: 'shape only',
  });
  await compileAll(device, (r) => {
    recordStep(r, gpt, tensors, options.window);
    recordPrefill(r, gpt, tensors);
  });
}

export async function createSession(device: Device, gpt: CausalGpt, options: SessionOptions): Promise<Session> {
  const { owner, batch, prompt, sampling, window } = options;
  if (batch > MAX_BATCH)
    throw new InputError(`${owner}: got a batch of ${batch}, expected at most ${MAX_BATCH}. Split it.`);
  // objects: what this session makes, and no other's
  const at = (what: string): Owner => ({ name: `${owner}.${what}` });
  const owners = { cache: at('cache'), state: at('state'), activations: at('activations') };
  const arena = new Arena(device, `${owner}.activations`);
  const programs: Program[] = [];
  const dispose = (): void => {
    for (const program of programs) program.dispose();
    arena.dispose();
    for (const one of Object.values(owners)) device.destroyOwned(one);
  };
  try {
    const tensors = createTensors(device, gpt, options, owners);
    const { call, settings, promptIds, promptRows } = tensors;
    device.write(settings, samplingParams(sampling));
    if (promptRows)
      device.write(
        promptIds,
        Uint32Array.from({ length: prompt }, (_, i) => i),
      );

    const step = await record(device, (r) => recordStep(r, gpt, tensors, window), { label: `${owner} step`, arena });
    programs.push(step);
    const prefill = await record(device, (r) => recordPrefill(r, gpt, tensors), { label: `${owner} prefill`, arena });
    programs.push(prefill);
    return {
      ...tensors,
      step,
      prefill(slot, count, before) {
        writeCall(device, call, { count, slot });
        const encoder = device.gpu.createCommandEncoder({ label: prefill.label });
        before?.(encoder);
        prefill.encode(encoder);
        device.submit(encoder);
      },
      dispose,
    };
  } catch (error) {
    dispose();
    throw error;
  }
}

/**
 * Runs both programs with nothing to do, so that the driver has compiled their shaders before the
 * first sentence; frees the session.
 */
export function warmUpSession(device: Device, session: Session): void {
  const idle = { token: 0, position: 0, step: 0, done: true, seed: [0, 0] as const, limit: 0, base: 0 };
  writeRow(device, session.state, 0, idle);
  session.prefill(0, 0);
  session.step.run();
  session.dispose();
}

/**
 * Keeps the GPU one piece of work ahead of the host and no more, so that progress is true and an
 * abort is felt soon.
 */
export class Pacer {
  readonly #device: Device;
  readonly #signal: AbortSignal | undefined;
  #previous: Promise<unknown> = Promise.resolve();

  constructor(device: Device, signal: AbortSignal | undefined) {
    this.#device = device;
    this.#signal = signal;
  }

  /** Call after each submit; waits for the submit before. */
  async submitted(): Promise<void> {
    const before = this.#previous;
    this.#previous = this.#device.gpu.queue.onSubmittedWorkDone();
    await before;
    this.#signal?.throwIfAborted();
    this.#device.check();
  }
}

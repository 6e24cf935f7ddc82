// A session is what one call of `generate` with a causal model holds on the GPU: KV cache, state,
// drawn tokens, and two recorded programs that use them. `step` computes one token of every
// sentence; `prefill` computes the prompt of one sentence except its last token, which the first
// step feeds. A session is freed after the call, so between sentences the GPU holds only weights.

import { sample, samplingParams, SAMPLING_WORDS, type Sampling } from '../../kernels/sample/sample.ts';
import { createState, createUniform, MAX_BATCH, writeCall, writeRow } from '../../kernels/state.ts';
import type { RowWindow } from '../../kernels/linear/linear.ts';
import { Arena } from '../../runtime/compute/arena.ts';
import type { Commands } from '../../runtime/compute/backend.ts';
import type { Device } from '../../runtime/compute/device.ts';
import { InputError } from '../../runtime/base/errors.ts';
import type { Owner } from '../../runtime/compute/ledger.ts';
import { SHAPE_ONLY, type Allocator } from '../../runtime/compute/shape_only.ts';
import { compileAll, record, type Program, type Recorder } from '../../runtime/compute/program.ts';
import type { Tensor } from '../../runtime/compute/tensor.ts';
import { createCache, decodeStep, runTokens, type CausalGpt, type KvCache } from './gpt.ts';

export interface SessionOptions {
  /** The stage's name in the memory report, e.g. 'semantic'. */
  owner: string;
  batch: number;
  /** Length of the longest prompt, without its last token. */
  prompt: number;
  /** Length of a row of `tokens`: history and drawn tokens. */
  pitch: number;
  sampling: Sampling;
  window?: RowWindow;
  /** The prompt is given as embeddings (prompt, H) f32, not as ids of the model's table. */
  promptRows?: boolean;
}

/** What a session's programs read and write, besides weights. */
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
   * Computes the first `count` tokens of the prompt buffer and stores their keys and values in row
   * `slot` of the cache. `before` appends copies that must come first.
   */
  prefill(slot: number, count: number, before?: (commands: Commands) => void): void;
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
    // The cache always holds block_size positions, so that prompts of all lengths fit and the
    // memory of a sentence does not depend on its length.
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
  void runTokens(r, gpt, promptRows ?? gpt.table, promptIds, cache, call, {
    causal: true,
    cacheOnly: true,
    plainTable: promptRows !== null,
  });

/** Has the driver compile the pipelines of such a session; `gpt` needs shapes and no weights. */
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
  // Owners are objects, so that `dispose` frees what this session made and no other session's.
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
        const commands = device.commands(prefill.label);
        before?.(commands);
        prefill.encode(commands);
        commands.submit();
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
 * Lets the host submit at most one piece of work before the GPU has finished the one before it, so
 * that progress events are true and an abort takes effect soon.
 */
export class Pacer {
  readonly #device: Device;
  readonly #signal: AbortSignal | undefined;
  #previous: Promise<unknown> = Promise.resolve();

  constructor(device: Device, signal: AbortSignal | undefined) {
    this.#device = device;
    this.#signal = signal;
  }

  /** Call after each submit: waits for the submit before it. Throws the signal's reason. */
  async submitted(): Promise<void> {
    const before = this.#previous;
    this.#previous = this.#device.done();
    this.#previous.catch(() => {}); // thrown where it is awaited, if it is
    await before;
    this.#signal?.throwIfAborted();
    this.#device.check();
  }
}

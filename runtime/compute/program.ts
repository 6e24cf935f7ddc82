// Record once, replay per token. WebGPU has no replayable command buffers, and making a bind group
// costs ten times a dispatch, so a model step is recorded into a flat list of {pipeline, bind
// group, workgroup counts}; running it is encoding that list, nothing else.

import { Arena } from './arena.ts';
import { USAGE, type Commands, type Recorded } from './backend.ts';
import type { Device } from './device.ts';
import { ShapeError, UnsupportedError } from '../base/errors.ts';
import { SHAPE_ONLY } from './shape_only.ts';
import type { Overrides, Shader } from './shader.ts';
import { describeStep, type DispatchDescription, type DispatchProfile, type Params, type Step } from './step.ts';
import type { DeviceBuffer, DType, Tensor } from './tensor.ts';

export interface Dispatch {
  readonly overrides?: Overrides;
  /** One tensor, or params, for each binding of the shader, by the names in the shader. */
  readonly bind: Readonly<Record<string, Tensor | Params>>;
  readonly grid: readonly [number, number?, number?];
}

/** What kernels append their dispatches to. No GPU work happens while recording. */
export class Recorder {
  readonly device: Device;
  readonly #arena: Arena;
  readonly #recorded: {
    shader: Shader;
    given: Dispatch;
    compiled: Promise<unknown>;
    entries: (Tensor | number)[];
  }[] = [];
  #order: number[] = []; // what is encoded: indices of #recorded, one several times where it is repeated
  readonly #params: number[] = []; // 32-bit words; each params block starts at a multiple of 64 words (256 bytes)
  readonly #held = new Set<Tensor>();

  constructor(device: Device, arena: Arena) {
    this.device = device;
    this.#arena = arena;
  }

  /** An activation of this program; `free` it when its last reader has been recorded. */
  temp(shape: readonly number[], label: string, dtype: DType = 'f32'): Tensor {
    const t = this.#arena.take(shape, dtype, label);
    this.#held.add(t);
    return t;
  }

  free(...tensors: Tensor[]): void {
    for (const t of tensors) {
      if (this.#held.delete(t)) this.#arena.give(t);
    }
  }

  dispatch(shader: Shader, { overrides = {}, bind, grid }: Dispatch): void {
    const names = shader.bindings.map((b) => b.name);
    const given = Object.keys(bind);
    if (given.length !== names.length || names.some((n) => !(n in bind))) {
      throw new ShapeError(`${shader.name}: got bindings ${given.join(', ')}, expected ${names.join(', ')}.`);
    }
    const [x, y = 1, z = 1] = grid;
    if (Math.max(x, y, z) > this.device.limits.maxComputeWorkgroupsPerDimension) {
      throw new UnsupportedError(
        `${shader.name}: needs a grid of ${x} × ${y} × ${z} workgroups, expected at most ${this.device.limits.maxComputeWorkgroupsPerDimension} a side. Use a smaller batch or a shorter input.`,
      );
    }
    if (x * y * z === 0) return;
    const entries = names.map((n) => {
      const value = bind[n]!;
      return 'buffer' in value ? value : this.#addParams(value);
    });
    this.#order.push(
      this.#recorded.push({
        shader,
        given: { overrides, bind, grid },
        compiled: this.device.pipeline(shader, overrides),
        entries,
      }) - 1,
    );
  }

  /**
   * What `body` records, `times` times over with the same bind groups: what changes from round to
   * round must be counted on the GPU. An activation that hands something to the next round must not
   * be freed in `body`.
   */
  repeat(times: number, body: () => void): void {
    const before = this.#order;
    this.#order = [];
    body();
    const round = this.#order;
    this.#order = before;
    for (let i = 0; i < times; i++) for (const step of round) before.push(step);
  }

  #addParams(params: Params): number {
    const at = Math.ceil(this.#params.length / 64) * 64;
    const words = new DataView(new ArrayBuffer(4 * params.length));
    params.forEach((p, i) =>
      typeof p === 'object' && 'f32' in p
        ? words.setFloat32(4 * i, p.f32, true)
        : words.setUint32(4 * i, typeof p === 'object' ? p.u32 : p, true),
    );
    params.forEach((_, i) => (this.#params[at + i] = words.getUint32(4 * i, true)));
    return at;
  }

  /** After an error: gives back what was taken. */
  abandon(): void {
    for (const t of this.#held) this.#arena.give(t);
    this.#held.clear();
    for (const { compiled } of this.#recorded) compiled.catch(() => {}); // the first failure is the one that is thrown
  }

  /** Waits for the compiler; a pipeline for each dispatch. */
  compiled(): Promise<unknown[]> {
    return Promise.all(this.#recorded.map((r) => r.compiled));
  }

  /** Compiles what is missing, makes the bind groups, and returns activations to the arena. */
  async finish(label: string, ownArena: Arena | null): Promise<Program> {
    for (const t of this.#held) this.#arena.give(t);
    this.#held.clear();
    const { device } = this;
    const compiled = await this.compiled();
    let params: DeviceBuffer | null = null;
    if (this.#params.length > 0) {
      const words = Uint32Array.from(
        { length: Math.ceil(this.#params.length / 64) * 64 },
        (_, i) => this.#params[i] ?? 0,
      );
      params = device.createBuffer(words.byteLength, USAGE.UNIFORM | USAGE.COPY_DST, 'params', `${label} params`);
      device.backend.write(params, 0, new Uint8Array(words.buffer));
    }
    const steps = this.#recorded.map(({ shader, given, entries }, i): Step => {
      device.counters.bindGroups++;
      const { overrides = {}, bind, grid } = given;
      const recorded: Recorded = { shader, overrides, bind, grid, entries, compiled: compiled[i] };
      return device.backend.step(recorded, params, label);
    });
    return new Program(
      device,
      label,
      this.#order.map((i) => steps[i]!),
      params,
      ownArena,
    );
  }
}

/** A recorded list of dispatches over fixed buffers. */
export class Program {
  readonly label: string;
  readonly device: Device;
  readonly #steps: readonly Step[];
  readonly #params: DeviceBuffer | null;
  readonly #arena: Arena | null;

  constructor(
    device: Device,
    label: string,
    steps: readonly Step[],
    params: DeviceBuffer | null,
    ownArena: Arena | null,
  ) {
    this.device = device;
    this.label = label;
    this.#steps = steps;
    this.#params = params;
    this.#arena = ownArena;
  }

  get dispatches(): number {
    return this.#steps.length;
  }

  /** Appends the list, `times` times over, to commands that others submit. */
  encode(commands: Commands, times = 1): void {
    commands.run(this.#steps, times, this.label);
  }

  /**
   * What it dispatches, in order: shader, overrides, grid, and what is bound. `formatDispatches`
   * prints it.
   */
  describe(): DispatchDescription[] {
    return this.#steps.map(describeStep);
  }

  /**
   * Runs it once and says how long each dispatch took on the GPU, in order. Throws
   * `UnsupportedError` on a device without timestamps.
   */
  async profile(): Promise<DispatchProfile[]> {
    this.device.check();
    if (!this.device.capabilities.timestamps)
      throw new UnsupportedError(
        `profile: '${this.device.name}' has no timestamp-query, expected an adapter that has it. ` +
          'Use another one, or measure whole runs: run(), then device.settle().',
      );
    const { counters } = this.device;
    counters.passes += this.#steps.length;
    counters.dispatches += this.#steps.length;
    counters.submits++;
    return (await this.device.backend.profile(this.#steps, this.label)).map(({ step, begin, end }) => ({
      ...describeStep(step),
      microseconds: Number(end - begin) / 1000,
    }));
  }

  /** `times` runs in one submit. */
  run(times = 1): void {
    const commands = this.device.commands(this.label);
    this.encode(commands, times);
    commands.submit();
  }

  dispose(): void {
    this.device.backend.forget(this.#steps);
    if (this.#params) this.device.destroyBuffer(this.#params);
    this.#arena?.dispose();
  }
}

export interface RecordOptions {
  label: string;
  /** Activations come from here; default: an arena of the program's own, freed with it. */
  arena?: Arena;
}

/** Records what `body` appends. Nothing runs before `program.run()`. */
export async function record(
  device: Device,
  body: (r: Recorder) => void,
  { label, arena }: RecordOptions,
): Promise<Program> {
  const own = arena ? null : new Arena(device, `${label}.activations`);
  const recorder = new Recorder(device, arena ?? own!);
  try {
    body(recorder);
    return await recorder.finish(label, own);
  } catch (error) {
    recorder.abandon();
    own?.dispose();
    throw error;
  }
}

/**
 * Has the driver compile all that `body` records, at once and beside other work, and makes nothing
 * else: what `body` binds may be `SHAPE_ONLY`'s.
 */
export async function compileAll(device: Device, body: (r: Recorder) => void): Promise<void> {
  const recorder = new Recorder(device, new Arena(SHAPE_ONLY, 'nowhere'));
  try {
    body(recorder);
    await recorder.compiled();
  } catch (error) {
    recorder.abandon();
    throw error;
  }
}

// A causal model as a stage of Bark: what the semantic and the coarse stage do alike around their
// `generate`.

import { BarkCausalModel } from './causal.ts';
import type { CausalGpt } from './gpt.ts';
import { compileSession, createSession, warmUpSession, type SessionOptions } from './session.ts';
import type { Stage } from './stage.ts';

export abstract class CausalStage extends BarkCausalModel implements Stage {
  /**
   * A session with the pipelines of `generate` for one sentence, but room for nothing; sampling
   * settings are only numbers in a buffer and change no pipeline.
   */
  protected abstract idleSession(gpt: CausalGpt): SessionOptions;

  /** Has the driver compile the pipelines of `generate` for one sentence; needs no weights. */
  async compile(): Promise<void> {
    const gpt = await this.shape();
    await compileSession(this.device, gpt, this.idleSession(gpt));
  }

  /** Runs these pipelines once, with nothing to do: some drivers finish compiling only then. */
  warmUp(): Promise<void> {
    return this.use(async (gpt) =>
      warmUpSession(this.device, await createSession(this.device, gpt, this.idleSession(gpt))),
    );
  }
}

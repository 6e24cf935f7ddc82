// The codec in the suite `stages`: decoding 1, 5 and 13 seconds of audio.

import { EncodecModel } from '../../encodec/model.ts';
import type { Device } from '../../runtime/compute/device.ts';
import { checkAudio, flopsPerFrame } from '../cases/codec_reference.ts';
import { basisMs, cpuMs, gpuTimed, medianTiming, numbers, warmUp, type Timing } from '../measure/gpu_time.ts';
import { rounded, type BenchOptions } from '../measure/harness.ts';
import type { BenchModel } from '../model/synthetic.ts';

const SECONDS = [1, 5, 13];

export async function codec(
  device: Device,
  model: BenchModel,
  options: BenchOptions,
  emit: (fields: Record<string, string | number | null>) => void,
): Promise<void> {
  const config = model.config.codec_config;
  const Q = model.generation.fine_acoustics_config.n_fine_codebooks;
  const weights = model.weights.at('codec_model');
  const encodec = new EncodecModel({ device, config, weights, codebooks: Q });
  const clip = (frames: number) => ({
    data: Int32Array.from(
      { length: Q * frames },
      (_, i) => (17 + 389 * (i % frames) + 101 * Math.floor(i / frames)) % config.codebook_size,
    ),
    shape: [Q, frames],
  });
  try {
    await encodec.decode(clip(9)); // compiles the kernels and uploads the weights
    for (const seconds of options.quick ? SECONDS.slice(0, 2) : SECONDS) {
      const codes = clip(75 * seconds);
      const times: Timing[] = [];
      let worst = 0;
      for (let time = 0; time < (options.quick ? 1 : options.repeats); time++) {
        const [start, cpu] = [performance.now(), cpuMs()];
        const { value, gpuMs } = await gpuTimed(device, async () => {
          const [audio] = await encodec.decode(codes);
          times.push({ ms: performance.now() - start, cpuMs: cpuMs() - cpu, gpuMs: null, runs: 1 });
          return audio!;
        });
        times.push({ ...times.pop()!, gpuMs });
        if (time === 0) {
          worst = await checkAudio(weights, config, value, codes.data, Q);
          await warmUp(device, () => encodec.decode(codes));
        }
      }
      const time = medianTiming(times);
      const flops = 75 * seconds * flopsPerFrame(config);
      emit({
        stage: `codec ${seconds} s`,
        rows: 75 * seconds,
        ...numbers(time),
        flops,
        TFLOPps: rounded(flops / basisMs(device, time) / 1e9, 5),
        realTimeFactor: rounded(time.ms / 1000 / seconds, 4),
        worstError: Number(worst.toPrecision(2)),
      });
    }
  } finally {
    encodec.dispose();
  }
}

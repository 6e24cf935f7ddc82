// The suite `kernels`: each operation at the sizes it has in Bark (../cases/), compared with the
// bandwidth of a copy and with the fastest product of many rows in the same run. Before an
// operation is timed, some of its outputs are compared with the same outputs computed in f64.

import { record } from '../../runtime/compute/program.ts';
import { expectCase, type Case, type MakeCase } from '../cases/case.ts';
import { gptCases } from '../cases/gpt.ts';
import { codecCases } from '../cases/codec.ts';
import { basisMs, copyBandwidth, measure, variantOf, type Timing } from '../measure/gpu_time.ts';
import { rounded, type BenchOptions, type Result, type Suite } from '../measure/harness.ts';
import { machineOf, requestDevice } from '../measure/machine.ts';
import { openBenchModel } from '../model/synthetic.ts';

async function run(options: BenchOptions, emit: (result: Result) => void, note: (text: string) => void): Promise<void> {
  const model = await openBenchModel(options, 1);
  const { hidden_size: hidden, num_heads: heads } = model.config.semantic_config;
  const { codebook_size: codebook, semantic_config } = model.generation;
  await model.close();
  const device = await requestDevice(options);
  try {
    const copyGBps = await copyBandwidth(device, options);
    const dtypes = options.dtype
      ? [options.dtype]
      : options.quick
        ? (['float16'] as const)
        : (['float16', 'float32'] as const);
    const cases: MakeCase[] = [
      ...dtypes.flatMap((dtype) =>
        gptCases(device, { hidden, heads, semanticHead: semantic_config.semantic_vocab_size + 1, codebook }, dtype),
      ),
      ...codecCases(device, model.config.codec_config.num_filters, options.quick ? 1 : 5),
    ];
    const done: { made: Case; time: Timing; worst: number }[] = [];
    note(
      `kernels: ${options.model}, ${cases.length} cases; results are printed at the end, because each is compared with the fastest product`,
    );
    for (const make of cases) {
      const owner = { name: 'bench case' };
      try {
        const made = await make(owner);
        const program = await record(device, (r) => made.record(r), { label: made.op });
        try {
          program.run();
          const worst = await expectCase(device, made);
          const time = await measure(device, (times) => program.run(times), {
            repeats: options.repeats,
            budgetMs: options.quick ? 300 : 5000,
          });
          done.push({ made, time, worst });
        } finally {
          program.dispose();
        }
      } finally {
        device.destroyOwned(owner);
      }
    }
    const best = Math.max(
      ...done
        .filter(({ made }) => /^(linear|qkv)(?!_decode)/.test(made.op))
        .map(({ made, time }) => made.flops / basisMs(device, time) / 1e9),
    );
    for (const { made, time, worst } of done) {
      const ms = basisMs(device, time);
      const GBps = made.bytes / ms / 1e6;
      const TFLOPps = made.flops / ms / 1e9;
      emit({
        suite: 'kernels',
        model: options.model,
        layers: 1,
        ...machineOf(device),
        dtype: made.dtype,
        variant: variantOf(device),
        op: made.op,
        shape: made.shape,
        runs: time.runs,
        ms: rounded(time.ms, 4),
        gpuMs: time.gpuMs === null ? null : rounded(time.gpuMs, 4),
        cpuMs: rounded(time.cpuMs, 4),
        bytes: made.bytes,
        flops: made.flops,
        GBps: rounded(GBps, 3),
        TFLOPps: rounded(TFLOPps, 5),
        percentOfCopy: rounded((100 * GBps) / copyGBps, 1),
        percentOfBestProduct: rounded((100 * TFLOPps) / best, 1),
        copyGBps: rounded(copyGBps, 2),
        bestTFLOPps: rounded(best, 5),
        worstError: Number(worst.toPrecision(2)),
      });
    }
  } finally {
    device.dispose();
  }
}

export const kernels: Suite = {
  name: 'kernels',
  about: "each operation at Bark's sizes, compared with a copy and the fastest product of the same run",
  columns: [
    'op',
    'shape',
    'dtype',
    'ms',
    'gpuMs',
    'cpuMs',
    'GBps',
    'TFLOPps',
    'percentOfCopy',
    'percentOfBestProduct',
    'worstError',
  ],
  run,
};

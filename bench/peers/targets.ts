// Target ratios against the peers and whether they were met. A ratio is the peer's wall-clock time
// over ours in the same run; the table also has processor time.

import type { Result } from '../measure/harness.ts';

interface Target {
  readonly peer: RegExp;
  readonly operation: string;
  readonly ratio: number;
  /**
   * Applies only if the peer runs on a GPU. On a CPU the peer computes natively, while we run on a
   * driver that emulates a GPU.
   */
  readonly onGpu?: boolean;
}

const ORT = /^onnxruntime-webgpu/;
const TARGETS: readonly Target[] = [
  { peer: ORT, operation: 'decode', ratio: 3 },
  { peer: ORT, operation: 'prefill257', ratio: 1.5 },
  { peer: ORT, operation: 'prefill887', ratio: 1.5 },
  { peer: ORT, operation: 'fine', ratio: 1.5 },
  { peer: /eager float16/, operation: 'generate', ratio: 8, onGpu: true },
  { peer: /compiled float16/, operation: 'generate', ratio: 1, onGpu: true },
];

const find = ({ operation, variant }: Result): Target | undefined =>
  TARGETS.find(
    (target) => target.operation === operation && target.peer.test(variant) && (!target.onGpu || /CUDA/.test(variant)),
  );

/** `target` and `met` of a result; null if it has no target. */
export function targetOf(result: Result): { target: number | null; met: string | null } {
  const target = find(result)?.ratio ?? null;
  const ratio = result['ratio'];
  return { target, met: target === null || typeof ratio !== 'number' ? null : ratio >= target ? 'met' : 'missed' };
}

/** The closing lines: one for each measured result that has a target, and one for each operation. */
export const closing = (results: readonly Result[]): string =>
  [...targetLines(results), ...fastestLines(results)].join('\n');

/** How ours does beside the fastest form of transformers, and beside the plainest. */
const fastestLines = (results: readonly Result[]): string[] =>
  results
    .filter(({ fastest, ratio }) => fastest === true && typeof ratio === 'number')
    .map((best) => {
      const same = results.filter(
        (result) => result['operation'] === best['operation'] && result.layers === best.layers,
      );
      const plain = same.find(({ variant }) => / eager float32 /.test(variant));
      return `${best['operation']}, ${best.model}, ${best.layers} layers: ${best['ratio']}× beside the fastest form (${best.variant}), ${plain?.['ratio'] ?? '?'}× beside eager float32`;
    });

const targetLines = (results: readonly Result[]): string[] =>
  results
    .filter((result) => find(result) && typeof result['ratio'] === 'number')
    .map(
      (result) =>
        `${result['operation']}, ${result.model}, ${result.layers} layers, ${result.variant}: target ${find(result)!.ratio}×, measured ${result['ratio']}× (processor time ${result['cpuRatio']}×): ${targetOf(result).met}`,
    );

// What is asked for against the peers, and whether it was met. Ratios of the clock's times in one
// run; the table has processor time beside them.

import type { Result } from '../measure/harness.ts';

interface Target {
  readonly peer: RegExp;
  readonly operation: string;
  readonly ratio: number;
  /**
   * Only with a peer on a GPU: on a processor it computes where we compute on a driver that plays a
   * GPU.
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

/** `target` and `met` of a result; null where nothing is asked for. */
export function targetOf(result: Result): { target: number | null; met: string | null } {
  const target = find(result)?.ratio ?? null;
  return { target, met: target === null ? null : Number(result['ratio']) >= target ? 'met' : 'missed' };
}

/** A line for each target of what was measured. */
export function closing(results: readonly Result[]): string {
  return results
    .filter((result) => find(result))
    .map(
      (result) =>
        `${result['operation']}, ${result.model}, ${result.layers} layers, ${result.variant}: target ${find(result)!.ratio}×, measured ${result['ratio']}× (processor time ${result['cpuRatio']}×): ${targetOf(result).met}`,
    )
    .join('\n');
}

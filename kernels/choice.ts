// What suits which adapter, where there is more than one way to the same numbers. Everybody asks here; tests name a form themselves.
// The table is by kind of adapter; what was measured on the adapter at hand (`device.tuning`, from `bark bench --tune`) comes before it,
// and what the device cannot do comes before both. (Subgroups or not is a matter of capability alone: linear.ts, gemvVariant.)

import { isSoftware, type Device } from '../runtime/device.ts';

/**
 * Forms of the kernels for many rows. `tile` passes operands through workgroup memory or caches: every adapter. `lanes` hands registers from
 * lane to lane: drivers that compute on the CPU, measured on Mesa 25 lavapipe (README.md has the numbers). `matrix` multiplies with the
 * subgroup's matrix unit (tensor cores), f16 weights only.
 */
export type Form = 'tile' | 'lanes' | 'matrix';

export interface Choices {
  /** `linear` and `qkv` of many rows. */
  readonly gemm: Form;
  /** `attention` of many queries. */
  readonly attention: Form;
  /** Convolutions of the codec. */
  readonly conv: Exclude<Form, 'matrix'>;
  /** Rows of a matrix that a group of lanes walks at once in a decode step: 1, 2 or 4. */
  readonly gemvRows: number;
  /** Threads of a workgroup there. */
  readonly gemvThreads: number;
  /** Rows of x that share such a walk, of the 8 that common/gemv.wgsl can. */
  readonly rowsOfWalk: number;
  /** Threads that share a head in the attention of a decode step. */
  readonly attentionRowThreads: number;
}

type Kind = 'software' | 'gpu';

const DEFAULTS: Readonly<Record<Kind, Choices>> = {
  // With 8 rows of x in a walk lavapipe's compiler takes 10 s for a kernel, 4 s with 4, and what is saved are reads from the processor's own cache.
  software: { gemm: 'lanes', attention: 'lanes', conv: 'tile', gemvRows: 4, gemvThreads: 64, rowsOfWalk: 4, attentionRowThreads: 64 },
  gpu: { gemm: 'tile', attention: 'tile', conv: 'tile', gemvRows: 4, gemvThreads: 64, rowsOfWalk: 8, attentionRowThreads: 64 },
};

/** The lanes form is written for subgroups of exactly 8. */
const hasLanesForm = ({ capabilities: c }: Device): boolean => c.subgroups && c.subgroupMinSize === 8 && c.subgroupMaxSize === 8;

/** Forms that work on this device; tests run each. */
export const formsOf = (device: Device): readonly Form[] => (hasLanesForm(device) ? ['tile', 'lanes'] : ['tile']);

/** What programs that are recorded now on this device are made of. */
export function choices(device: Device): Choices {
  const chosen: Choices = { ...DEFAULTS[isSoftware(device.info) ? 'software' : 'gpu'], ...device.tuning };
  const forms = formsOf(device);
  const able = <F extends Form>(form: F): F | 'tile' => (forms.includes(form) ? form : 'tile');
  return { ...chosen, gemm: able(chosen.gemm), attention: able(chosen.attention), conv: able(chosen.conv) };
}

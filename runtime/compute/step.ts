// One dispatch of a program: what the GPU gets, and what it was made of, for people who look
// inside.

import type { Overrides, Shader } from './shader.ts';
import type { DType, Tensor } from './tensor.ts';

/**
 * Numbers of one dispatch that are known when it is recorded; u32 and f32 words as the shader's
 * `struct Params` lists them.
 */
export type Params = readonly ({ u32: number } | { f32: number } | number)[];

export interface Step {
  readonly shader: Shader;
  readonly overrides: Overrides;
  readonly bind: Readonly<Record<string, Tensor | Params>>;
  /** What only the backend knows: pipeline and bind group, or a kernel and its arguments. */
  readonly native: unknown;
  readonly x: number;
  readonly y: number;
  readonly z: number;
}

/**
 * What a binding of a dispatch holds: a tensor, or the numbers that were given when it was
 * recorded.
 */
export type BindingDescription =
  | { readonly name: string; readonly label: string; readonly shape: readonly number[]; readonly dtype: DType }
  | { readonly name: string; readonly values: readonly number[] };

export interface DispatchDescription {
  /** The shader's name, which ends with its variant: linear_decode_subgroup, attention_simd8, … */
  readonly shader: string;
  /** The values of its `override` constants, which choose code within the variant. */
  readonly overrides: Overrides;
  /** Workgroups. */
  readonly grid: readonly [x: number, y: number, z: number];
  readonly bindings: readonly BindingDescription[];
}

/** A dispatch and the time that it took on the GPU. */
export interface DispatchProfile extends DispatchDescription {
  readonly microseconds: number;
}

export function describeStep({ shader, overrides, bind, x, y, z }: Step): DispatchDescription {
  const bindings = shader.bindings.map(({ name }): BindingDescription => {
    const value = bind[name]!;
    if ('buffer' in value) return { name, label: value.label, shape: value.shape, dtype: value.dtype };
    return { name, values: value.map((p) => (typeof p === 'number' ? p : 'f32' in p ? p.f32 : p.u32)) };
  });
  return { shader: shader.name, overrides, grid: [x, y, z], bindings };
}

/** A line for each dispatch, to print: number, shader, grid, overrides, bindings. */
export function formatDispatches(dispatches: readonly DispatchDescription[]): string {
  const width = Math.max(0, ...dispatches.map(({ shader }) => shader.length));
  return dispatches
    .map(({ shader, overrides, grid, bindings }, i) => {
      const constants = Object.entries(overrides).map(([name, value]) => `${name}=${value}`);
      const bound = bindings.map((b) =>
        'values' in b ? `${b.name}: ${b.values.join(' ')}` : `${b.name}: ${b.label} (${b.shape.join(', ')}) ${b.dtype}`,
      );
      return `${String(i).padStart(4)}  ${shader.padEnd(width)}  ${grid.join(' × ')}  [${constants.join(' ')}]  ${bound.join('; ')}`;
    })
    .join('\n');
}

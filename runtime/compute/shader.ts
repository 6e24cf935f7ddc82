// What the build makes of a .wgsl file, and the bind group layout that its declarations ask for.
// The runtime compiles shaders; it does not know what any of them computes.

import { UnsupportedError } from '../base/errors.ts';
import type { ProcessorKernel } from './wasm/module.ts';

export type BindingKind = 'uniform' | 'read-only-storage' | 'storage';

/**
 * A run of lines of the expanded source: from `at` (1-based) on they are lines `line`, `line + 1`,
 * … of `file`.
 */
export interface SourceRun {
  readonly at: number;
  readonly file: string;
  readonly line: number;
}

/** A shader after include expansion; `bindings[i]` is `@group(0) @binding(i)`. */
export interface Shader {
  readonly name: string;
  readonly code: string;
  readonly bindings: readonly { readonly name: string; readonly kind: BindingKind }[];
  readonly runs: readonly SourceRun[];
  /** The same kernel for a processor's threads, where there is one. */
  readonly processor?: ProcessorKernel | undefined;
}

/**
 * Values of `override` constants. WGSL has no override vectors or strings; a bool is given as 0 or
 * 1.
 */
export type Overrides = Readonly<Record<string, number>>;

/** Where a line of the expanded source was written. */
export function locate(runs: readonly SourceRun[], line: number): { file: string; line: number } {
  const run = runs.findLast((r) => r.at <= line) ?? { at: 1, file: '?', line: 1 };
  return { file: run.file, line: run.line + line - run.at };
}

/**
 * Compiler messages as `file:line:column: text`, with the source line and a caret under the place.
 */
export function describeMessages(
  shader: Pick<Shader, 'code' | 'runs'>,
  messages: Iterable<GPUCompilationMessage>,
): string {
  const lines = shader.code.split('\n');
  return [...messages]
    .map((m) => {
      const at = locate(shader.runs, m.lineNum);
      const caret = ' '.repeat(Math.max(0, m.linePos - 1)) + '^';
      return `kernels/${at.file}:${at.line}:${m.linePos}: ${m.message}\n  ${lines[m.lineNum - 1] ?? ''}\n  ${caret}`;
    })
    .join('\n');
}

export function bindGroupLayout(gpu: GPUDevice, shader: Shader): GPUBindGroupLayout {
  const entries = shader.bindings.map(({ kind }, binding) => ({
    binding,
    visibility: COMPUTE,
    buffer: { type: kind },
  }));
  return gpu.createBindGroupLayout({ label: shader.name, entries });
}

/**
 * Compiles one shader with its override values; a compile error names file, line and column before
 * the includes were expanded.
 */
export async function compile(
  gpu: GPUDevice,
  shader: Shader,
  layout: GPUBindGroupLayout,
  overrides: Overrides,
): Promise<GPUComputePipeline> {
  // a compile error is thrown below; it must not count as an error of the device as well
  gpu.pushErrorScope('validation');
  const module = gpu.createShaderModule({ label: shader.name, code: shader.code });
  void gpu.popErrorScope();
  try {
    return await gpu.createComputePipelineAsync({
      label: shader.name,
      layout: gpu.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: 'main', constants: { ...overrides } },
    });
  } catch (cause) {
    const info = await module.getCompilationInfo();
    const errors = info.messages.filter((m) => m.type === 'error');
    const detail = errors.length > 0 ? describeMessages(shader, errors) : (cause as Error).message;
    throw new UnsupportedError(
      `kernels/${shader.runs[0]?.file} does not compile on this adapter with ${JSON.stringify(overrides)}:\n${detail}`,
      { cause },
    );
  }
}

const COMPUTE = 4; // GPUShaderStage.COMPUTE; npm webgpu does not define the global

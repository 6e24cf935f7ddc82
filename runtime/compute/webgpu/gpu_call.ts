/** What of a step only WebGPU knows. */
export interface GpuCall {
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
}

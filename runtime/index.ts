// What `import … from 'bark-webgpu/runtime'` gives: devices, tensors, programs, checkpoints and
// where they lie, without any op or model.

export { Arena } from './compute/arena.ts';
export type { Checkpoint, StoredDType, TensorInfo } from './formats/checkpoint.ts';
export type { OpenOptions, ModelSource, DownloadProgress, ByteSource } from './files/model_source.ts';
export type { Capabilities, SubgroupMatrixConfig } from './compute/capabilities.ts';
export { USAGE, type BackendKind, type Commands } from './compute/backend.ts';
export { Device } from './compute/device.ts';
export { type DeviceOptions, requestAdapter, isSoftware, adapterName } from './compute/adapter.ts';
export {
  DownloadError,
  InputError,
  ShapeError,
  UnsupportedError,
  WeightsError,
  type DownloadReason,
} from './base/errors.ts';
export { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from './base/half.ts';
export type { HubOptions } from './sources/hub/settings.ts';
export type { Counters, MemoryReport } from './compute/ledger.ts';
export { Program, record, Recorder, type Dispatch, type RecordOptions } from './compute/program.ts';
export {
  formatDispatches,
  type BindingDescription,
  type DispatchDescription,
  type DispatchProfile,
  type Params,
} from './compute/step.ts';
export type { TensorDump } from './compute/inside/dump.ts';
export type { Trace } from './compute/inside/trace.ts';
export { openCheckpoint } from './formats/open_checkpoint.ts';
export type { BindingKind, Overrides, Shader } from './compute/shader.ts';
export { openModelSource, type ModelSourceLike } from './sources/open_source.ts';
export { byteSize, elements, type DeviceBuffer, type DType, type Tensor } from './compute/tensor.ts';
export type { Tuning } from './compute/tuning_file.ts';
export { walkWeights, type TensorRef, type Weights } from './formats/weights.ts';

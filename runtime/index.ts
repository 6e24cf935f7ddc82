// What `import … from 'bark-webgpu/runtime'` gives: devices, tensors, programs, checkpoints and where they lie, without any op or model.

export { Arena } from './arena.ts';
export type { ByteSource, Checkpoint, DownloadProgress, ModelSource, OpenOptions, StoredDType, TensorInfo } from './checkpoint.ts';
export type { Capabilities, MatrixConfig } from './capabilities.ts';
export { adapterName, Device, isSoftware, requestAdapter, USAGE, type Counters, type DeviceOptions } from './device.ts';
export { DownloadError, InputError, ShapeError, UnsupportedError, WeightsError, type DownloadReason } from './errors.ts';
export { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from './half.ts';
export type { HubOptions } from './hub.ts';
export type { MemoryReport } from './memory.ts';
export { Program, record, Recorder, type Dispatch, type Params, type RecordOptions } from './program.ts';
export { openCheckpoint } from './formats.ts';
export type { BindingKind, Overrides, Shader } from './shader.ts';
export { openModelSource, type ModelSourceLike } from './source.ts';
export { byteSize, elements, type DType, type Tensor } from './tensor.ts';
export type { Tuning } from './tuning.ts';
export { walkWeights, type TensorRef, type Weights } from './weights.ts';

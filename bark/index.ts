// The library's front door: everything that `import … from 'bark-webgpu'` gives, and nothing else.
// test/api.test.ts pins the names.

export { RawAudio } from './audio.ts';
export {
  BarkCausalModel,
  type CausalForwardInputs,
  type CausalForwardOutputs,
  type PastKeyValues,
} from './gpt/causal.ts';
export type { HostTensor, TensorLike } from './gpt/host_tensor.ts';
export { BarkCoarseModel } from './coarse.ts';
export {
  BarkCoarseConfig,
  BarkConfig,
  BarkFineConfig,
  BarkSemanticConfig,
  type BarkSubModelConfig,
} from './config/config.ts';
export { BarkFineModel } from './fine.ts';
export { BarkGenerationConfig } from './config/generation_config.ts';
export type { DTypeName, LoadOptions } from './load_options.ts';
export { BarkModel } from './model.ts';
export type { GenerateOutput, RowTokens } from './output.ts';
export type { EndOptions, GenerateOptions, ProgressEvent, SamplingOptions } from './options.ts';
export {
  BarkProcessor,
  type BarkInputs,
  type EncodeOptions,
  type ProcessorOptions,
  type Voice,
} from './processor/processor.ts';
export { BarkSemanticModel } from './semantic.ts';
export { checkSupport, type Support } from './support.ts';
export { VoicePreset, type VoiceLoadOptions, type VoicePresetLike } from './processor/voice_preset.ts';
export type { PromptLike } from './processor/prompt_arrays.ts';
export { EncodecConfig, EncodecModel, type Codes } from '../encodec/index.ts';
export type { ModelSource } from '../runtime/files/model_source.ts';
export { Device } from '../runtime/compute/device.ts';
export type { DeviceOptions } from '../runtime/compute/adapter.ts';
export { DownloadError, InputError, ShapeError, UnsupportedError, WeightsError } from '../runtime/base/errors.ts';
export type { MemoryReport } from '../runtime/compute/ledger.ts';
export type { ModelSourceLike } from '../runtime/sources/open_source.ts';

// The codec's front door: what `bark-webgpu/encodec` exports.

export { EncodecConfig, hopLength, numQuantizers, type PadMode } from './config.ts';
export { EncodecModel, type CodecDecodeOptions, type Codes, type EncodecOptions } from './model.ts';

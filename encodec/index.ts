// The codec's front door: what `bark-webgpu/encodec` exports.

export { EncodecConfig, hopLength, numQuantizers, type PadMode } from './config.ts';
export type { Codes } from './codes.ts';
export { EncodecModel, type CodecDecodeOptions, type EncodecOptions } from './model.ts';

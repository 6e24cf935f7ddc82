// What the codec's folder gives to the floor above.

export { EncodecConfig, hopLength, numQuantizers, type PadMode } from './config.ts';
export { EncodecModel, type CodecDecodeOptions, type Codes, type EncodecOptions } from './model.ts';

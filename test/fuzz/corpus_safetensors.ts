// Good safetensors and JSON files that the fuzzer starts from.

import type { Sample } from './mutate.ts';
import { bytesOf, little } from './pickle_code.ts';
import { own, noise, fixtures, texts, type Corpus } from './corpus_parts.ts';
export const JSON_TOKENS = texts(
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '""',
  'null',
  'true',
  '-1',
  '1e999',
  '1.5',
  '9007199254740993',
  '"__proto__":',
  '"constructor"',
  '"\\u0000"',
  '\\ud800',
  '{"a":{"a":{"a":{}}}}',
  '[[[[[[[[[',
  '\ufeff',
  '"\u009b31m"',
);

// Safetensors.

function safetensors(
  tensors: Readonly<Record<string, { dtype: string; shape: number[]; bytes: number }>>,
  { metadata, pad = 0 }: { metadata?: Record<string, string>; pad?: number } = {},
): Uint8Array {
  let at = 0;
  const header: Record<string, unknown> = metadata ? { __metadata__: metadata } : {};
  for (const [name, { dtype, shape, bytes }] of Object.entries(tensors))
    header[name] = { dtype, shape, data_offsets: [at, (at += bytes)] };
  const text = JSON.stringify(header) + ' '.repeat(pad);
  return bytesOf(little(new TextEncoder().encode(text).length, 8), text, noise(at, 11));
}

export function safetensorsCorpus(): Corpus {
  const made = [
    { name: 'empty', bytes: safetensors({}) },
    {
      name: 'padded',
      bytes: safetensors(
        { a: { dtype: 'F32', shape: [3, 2], bytes: 24 }, 'b.c': { dtype: 'F16', shape: [], bytes: 2 } },
        { metadata: { format: 'pt', note: '\u00e9' }, pad: 30 },
      ),
    },
    {
      name: 'zero sizes',
      bytes: safetensors({
        a: { dtype: 'I64', shape: [0, 7], bytes: 0 },
        b: { dtype: 'U8', shape: [5], bytes: 5 },
        c: { dtype: 'BOOL', shape: [0], bytes: 0 },
      }),
    },
    {
      name: 'many',
      bytes: safetensors(
        Object.fromEntries(
          Array.from({ length: 150 }, (_, i) => [
            `layers.${i}.weight`,
            { dtype: 'BF16', shape: [1, i % 4], bytes: 2 * (i % 4) },
          ]),
        ),
      ),
    },
  ];
  const samples = [...fixtures('safetensors', /\.safetensors$/), ...made].map(safetensorsSample);
  return {
    samples,
    tokens: [
      ...JSON_TOKENS,
      ...texts(
        '"F32"',
        '"F64"',
        '"I4"',
        '"dtype"',
        '"shape":[4294967296,4294967296]',
        '"data_offsets":[0,0]',
        '__metadata__',
      ),
    ],
  };
}

// JSON files: the parts are between all punctuation.

function jsonSample(name: string, bytes: Uint8Array): Sample {
  const cuts = [0];
  bytes.forEach((byte, at) => '{}[]:,"'.includes(String.fromCharCode(byte)) && cuts.push(at));
  return { name, bytes: own(bytes), cuts: [...cuts, bytes.length], fields: [], json: true };
}

export const jsonCorpus = (...files: [string, Uint8Array][]): Corpus => ({
  samples: files.map(([name, bytes]) => jsonSample(name, bytes)),
  tokens: JSON_TOKENS,
});

// Safetensors.

function safetensorsSample({ name, bytes }: { name: string; bytes: Uint8Array }): Sample {
  const dataStart = 8 + Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const cuts = [0, 1, 7, 8];
  for (let at = 8; at < dataStart; at++) if ('{}[]:,"'.includes(String.fromCharCode(bytes[at]!))) cuts.push(at);
  cuts.push(dataStart);
  for (const value of Object.values(
    JSON.parse(new TextDecoder().decode(bytes.subarray(8, dataStart))) as Record<string, { data_offsets?: number[] }>,
  )) {
    for (const offset of value.data_offsets ?? [])
      if (!cuts.includes(dataStart + offset)) cuts.push(dataStart + offset);
  }
  const inner = {
    sample: jsonSample('header', bytes.subarray(8, dataStart)),
    pack: (header: Uint8Array) => bytesOf(little(header.length, 8), header, bytes.subarray(dataStart)),
  };
  return { name, bytes, cuts: cuts.sort((a, b) => a - b), fields: [{ at: 0, size: 8 }], dataStart, inner };
}

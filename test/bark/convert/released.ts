// The fixture's model as suno and Meta release theirs, as Blobs.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SUNO, fixture } from './folders.ts';

export const META = 'encodec_24khz-d7cc33bc.th';

export const json = (value: unknown) => new Blob([JSON.stringify(value)]);

export const blob = (name: string) => new Blob([readFileSync(join(SUNO, name))]);

export function triple(): Map<string, Blob> {
  return new Map([
    ...['text_2.pt', 'coarse.pt', 'fine_2.pt'].map((name) => [name, blob(name)] as const),
    ['generation_config.json', json(fixture.generation_config)],
  ]);
}

export const f32 = (bytes: Uint8Array<ArrayBuffer>) =>
  new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);

// Which model is meant: a folder, a URL, or, where none is named, the small voice that comes with the package.

import type { ModelSource, OpenOptions } from '../runtime/checkpoint.ts';
import { WeightsError } from '../runtime/errors.ts';
import type { HubOptions } from '../runtime/hub.ts';
import { openModelSource } from '../runtime/source.ts';
import type { ModelSourceLike } from '../runtime/source.ts';
import type { ProgressEvent } from './options.ts';

// Next to this file in the sources; one or two floors up and over from the bundles in dist/ and dist/browser/.
const DEMO_VOICE_FOLDERS = ['./demo_voice/', '../bark/demo_voice/', '../../bark/demo_voice/'];

/** What every `fromPretrained` takes. */
export interface PretrainedOptions extends HubOptions {
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: ProgressEvent) => void) | undefined;
}

/** The same for opening single files. */
export function openOptions({ signal, onProgress }: PretrainedOptions): OpenOptions {
  return { signal, onDownload: onProgress && ((progress) => onProgress({ stage: 'download', ...progress })) };
}

/** Opens a model's folder; without `source`, that of the built-in demo voice. Errors as in `openModelSource`. */
export async function resolveSource(source?: ModelSourceLike, options: HubOptions = {}): Promise<ModelSource> {
  return source === undefined ? openDemoVoice() : openModelSource(source, options);
}

async function openDemoVoice(): Promise<ModelSource> {
  const tried: string[] = [];
  for (const folder of DEMO_VOICE_FOLDERS) {
    const url = new URL(folder, import.meta.url);
    const opened = await openModelSource(url).catch(() => undefined);
    if (await opened?.has('config.json').catch(() => false)) return opened!;
    tried.push(url.href);
  }
  throw new WeightsError(`Demo voice: got no model at ${tried.join(' or ')}, expected the folder that comes with the package. Name a model instead.`);
}

// A model of the Hugging Face Hub as a source: `org/name`.

import type { ModelSource } from './checkpoint.ts';
import { UnsupportedError } from './errors.ts';

/** What `fromPretrained` takes for a model of the Hub; other sources do not look at it. */
export interface HubOptions {
  /** Branch, tag or commit. Default 'main'. */
  revision?: string | undefined;
  /** The cache folder, shared with Python's huggingface_hub. Default: HF_HUB_CACHE, else $HF_HOME/hub, else ~/.cache/huggingface/hub. */
  cacheDir?: string | undefined;
  /** Use only what the cache holds, and no network. Default: HF_HUB_OFFLINE. */
  localFilesOnly?: boolean | undefined;
  /** For private and gated models. Default: HF_TOKEN, else the file that `hf auth login` wrote. */
  token?: string | undefined;
}

/** `org/name`. */
export const hubId = /^[\w][\w.-]*\/[\w][\w.-]*$/;

export async function openHub(id: string, options: HubOptions = {}): Promise<ModelSource> {
  throw new UnsupportedError(`${id}: got a Hub id, expected a folder.`, { cause: options });
}

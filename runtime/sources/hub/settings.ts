// What a Hub model was asked for with: id, revision, endpoint, token, timeouts; options beat the
// environment. Opens nothing but the token file. Reference: huggingface_hub/constants.py and
// utils/_auth.py.

import { InputError } from '../../base/errors.ts';
import { env, host } from '../../host/platform.ts';

export interface HubSettings {
  /** `org/name`, with `@revision` where one was given; starts every message. */
  readonly label: string;
  readonly id: string;
  readonly revision: string;
  /** Without a slash at its end. */
  readonly endpoint: string;
  /** Goes to the endpoint's own origin only, and into no message. */
  readonly token: string | undefined;
  readonly offline: boolean;
  /** Milliseconds for the answer to a HEAD; and without a byte in a download. */
  readonly headTimeout: number;
  readonly idleTimeout: number;
}

/** `org/name`, in the main. */
export const hubId = /^\w[\w.-]*\/\w[\w.-]*$/;

export const commitPattern = /^[0-9a-f]{40}(?:[0-9a-f]{24})?$/;

/** An environment variable that is not empty. */
const set = (name: string) => env(name)?.trim() || undefined;

export const isTrue = (name: string) => /^(1|on|yes|true)$/i.test(set(name) ?? '');

/** Throws `InputError` for an id, revision, endpoint or token that cannot be one. */
export async function hubSettings(id: string, options: HubOptions): Promise<HubSettings> {
  if (!hubId.test(id) || id.length > 96 || /--|\.\.|[.-](?:\/|$)|\.git$/.test(id)) {
    throw new InputError(`${JSON.stringify(id)}: got no Hub id, expected org/name. Check the spelling.`);
  }
  const revision = options.revision ?? 'main';
  if (!isRevision(revision))
    throw new InputError(
      `${id}: got the revision ${JSON.stringify(revision)}, expected a branch, tag or commit. Check 'revision'.`,
    );
  return {
    label: options.revision === undefined ? id : `${id}@${revision}`,
    id,
    revision,
    endpoint: endpoint(),
    token: checkedToken(options.token ?? (await foundToken())),
    offline: options.localFilesOnly ?? (isTrue('HF_HUB_OFFLINE') || isTrue('TRANSFORMERS_OFFLINE')),
    headTimeout: seconds('HF_HUB_ETAG_TIMEOUT'),
    idleTimeout: seconds('HF_HUB_DOWNLOAD_TIMEOUT'),
  };
}

/** git's rules for names, which also make it safe as a path below refs/. */
function isRevision(name: string): boolean {
  return (
    name.length <= 255 &&
    !/[\u0000- \u007f~^:?*[\\]|\.\.|@\{|^\/|\/$|\/\/|\.$|(?:^|\/)\.|\.lock(?:\/|$)/.test(name) &&
    name !== '' &&
    name !== '@'
  );
}

function endpoint(): string {
  const text = (set('HF_ENDPOINT') ?? 'https://huggingface.co').replace(/\/+$/, '');
  try {
    const { protocol, username, password, search, hash } = new URL(text);
    if (/^https?:$/.test(protocol) && !username && !password && !search && !hash) return text;
  } catch {}
  throw new InputError(
    `HF_ENDPOINT: got something else than a plain http(s) address, expected one such as https://huggingface.co. Correct or unset it.`,
  );
}

function seconds(name: string): number {
  const value = Number(set(name));
  return Math.min(value > 0 ? value : 10, 2 ** 31 / 1000 - 1) * 1000; // a timer takes no more
}

// fetch would quote a bad header's value in its error, so it must not get that far.
function checkedToken(token: string | undefined): string | undefined {
  const clean = token?.replace(/[\r\n]/g, '').trim();
  if (clean && !/^[\x21-\x7e]+$/.test(clean))
    throw new InputError(
      'Token of the Hub: got characters that no token has, expected hf_… . Copy it again from the settings page of your account.',
    );
  return clean || undefined;
}

async function foundToken(): Promise<string | undefined> {
  if (isTrue('HF_HUB_DISABLE_IMPLICIT_TOKEN')) return undefined;
  const given = set('HF_TOKEN') ?? set('HUGGING_FACE_HUB_TOKEN');
  if (given || host === 'browser') return given;
  const fs = await import('node:fs/promises');
  const { join } = await import('node:path');
  const file = set('HF_TOKEN_PATH');
  return fs.readFile(file ? await expanded(file) : join(await hubHome(), 'token'), 'utf8').catch(() => undefined);
}

/** With `~` and `$NAME` filled in, as Python does to these variables. */
async function expanded(path: string): Promise<string> {
  const { homedir } = await import('node:os');
  return path
    .replace(/^~(?=$|[/\\])/, () => homedir())
    .replace(/\$(\w+)|\$\{(\w+)\}/g, (all: string, a?: string, b?: string) => env(a ?? b!) ?? all);
}

async function hubHome(): Promise<string> {
  const { homedir } = await import('node:os');
  const { join } = await import('node:path');
  const home = set('HF_HOME');
  if (home) return expanded(home);
  const xdg = set('XDG_CACHE_HOME');
  return join(xdg ? await expanded(xdg) : join(homedir(), '.cache'), 'huggingface');
}

/**
 * The folder of all cached models; absolute, so that a later change of directory does not move it.
 */
export async function cacheFolder(cacheDir?: string): Promise<string> {
  const { join, resolve } = await import('node:path');
  const given = cacheDir || set('HF_HUB_CACHE') || set('HUGGINGFACE_HUB_CACHE');
  return resolve(given ? await expanded(given) : join(await hubHome(), 'hub'));
}

/** The keys of `HubOptions`. */
export const HUB_OPTIONS = ['revision', 'cacheDir', 'localFilesOnly', 'token'] as const;

/** What of larger options is for the Hub. */
export function hubOptions({ revision, cacheDir, localFilesOnly, token }: HubOptions): HubOptions {
  return { revision, cacheDir, localFilesOnly, token };
}

/** What `fromPretrained` takes for a model of the Hub; other sources do not look at it. */
export interface HubOptions {
  /** Branch, tag or commit. Default 'main'. */
  revision?: string | undefined;
  /**
   * The cache folder, shared with Python's huggingface_hub. Default: HF_HUB_CACHE, else
   * $HF_HOME/hub, else ~/.cache/huggingface/hub.
   */
  cacheDir?: string | undefined;
  /** Use only what the cache holds, and no network. Default: HF_HUB_OFFLINE. */
  localFilesOnly?: boolean | undefined;
  /**
   * For private and gated models; '' for none. Default: HF_TOKEN, else the file that `hf auth
   * login` wrote.
   */
  token?: string | undefined;
}

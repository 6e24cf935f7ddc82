// What the fake Hub holds in these tests: bytes by formula, commits by name.

import { createHash } from 'node:crypto';
import { pathToFileURL } from 'node:url';
import { type HubFile, type Repo, startHub } from './server.ts';

/** `length` bytes that look random, the same ones on every machine. */
export function formulaBytes(length: number, seed = 1): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let state = seed >>> 0;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

/** A commit's 40 hexadecimal digits, from a word. */
export const commitId = (word: string): string => createHash('sha1').update(word).digest('hex');

const utf8 = (value: string): Uint8Array => new TextEncoder().encode(value);

/** Files as `{ path: text | bytes }`; bytes are large files. */
export function filesOf(files: Record<string, string | Uint8Array>): Map<string, HubFile> {
  return new Map(
    Object.entries(files).map(([path, value]) => [
      path,
      typeof value === 'string' ? { bytes: utf8(value) } : { bytes: value, lfs: true },
    ]),
  );
}

/** A repository with one commit, which is its main. */
export function repoOf(files: Record<string, string | Uint8Array>, word = 'first'): Repo {
  return { commits: new Map([[commitId(word), filesOf(files)]]), refs: new Map([['main', commitId(word)]]) };
}

/** What python_cache.json was recorded from. */
export function fixtureRepos(): Record<string, Repo> {
  const files = {
    'config.json': '{"model_type": "bark"}\n',
    'copy.json': '{"model_type": "bark"}\n',
    'speaker_embeddings/v2/en_speaker_6_semantic_prompt.npy': 'not really an array\n',
    'a name, with ünïcode + %25.txt': 'odd names\n',
    'empty.txt': '',
    'pytorch_model.bin': formulaBytes(3001),
  };
  const repo = repoOf(files);
  repo.commits.set(commitId('pull request'), filesOf({ ...files, 'config.json': '{"model_type": "bark", "pr": 5}\n' }));
  repo.refs.set('refs/pr/5', commitId('pull request'));
  repo.refs.set('v1.0', commitId('first'));
  return { 'org/name': repo };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const hub = await startHub(fixtureRepos());
  console.log(hub.endpoint);
  process.stdin.resume().on('end', () => void hub.close());
}

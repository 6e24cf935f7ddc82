// Watches what code under test does to its host: memory it asks for, files it writes, processes and
// connections it starts, code it makes. Works by replacing constructors and functions of this
// thread, so it must be installed before the code under test is loaded.
// It sees ArrayBuffers, typed arrays and Buffers when they are made from a number or a list, and
// looks at all memory each few of their megabytes; the JavaScript heap and what native code takes
// (zlib, strings) between those looks only at the end of a case, and by the heap limit of the
// worker. It does not see: copies that typed arrays make of themselves, which are no larger than
// what was counted.

import fs from 'node:fs';
import child from 'node:child_process';
import net from 'node:net';
import http from 'node:http';
import https from 'node:https';
import { syncBuiltinESMExports } from 'node:module';
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

export interface Observed {
  /** Bytes of the largest buffer asked for, also where it was refused. */
  largest: number;
  /**
   * Bytes of heap and native memory at most, more than at the start; garbage counts at the end
   * only: by then what was held may be garbage.
   */
  peak: number;
  /** What the code must not do, in words. */
  forbidden: string[];
}

const TYPED = [
  'Int8Array',
  'Uint8Array',
  'Uint8ClampedArray',
  'Int16Array',
  'Uint16Array',
  'Int32Array',
  'Uint32Array',
  'Float32Array',
  'Float64Array',
  'BigInt64Array',
  'BigUint64Array',
] as const;
const WRITERS = [
  'appendFile',
  'chmod',
  'chown',
  'copyFile',
  'cp',
  'createWriteStream',
  'fchmod',
  'fchown',
  'ftruncate',
  'futimes',
  'lchown',
  'link',
  'lutimes',
  'mkdir',
  'mkdtemp',
  'rename',
  'rm',
  'rmdir',
  'symlink',
  'truncate',
  'unlink',
  'utimes',
  'write',
  'writeFile',
  'writev',
];

let largest = 0;
let unseen = 0;
let before = 0;
let clean = 0;
let peak = 0;
let forbidden: string[] = [];
let watching = false;

const LOOK_EACH = 4 * 2 ** 20;
const MUCH = 60 * 2 ** 20;

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;

/** Twice: buffers are freed in the background, and the second waits for the first. */
function collect(): void {
  gc();
  gc();
}

function held(): number {
  const { used_heap_size, external_memory, malloced_memory } = getHeapStatistics();
  return used_heap_size + external_memory + malloced_memory;
}

function look(): void {
  unseen = 0;
  let now = held() - before;
  if (now > MUCH && now > peak) {
    collect();
    now = held() - before;
  }
  peak = Math.max(peak, now);
}

function note(bytes: unknown): void {
  if (!watching || typeof bytes !== 'number' || !(bytes > 0)) return;
  if (bytes > largest) largest = bytes;
  unseen += bytes;
  if (unseen > LOOK_EACH) look();
}

type Anything = Record<string, any>;

function forbid(owner: Anything, key: string, words: string, when: (args: unknown[]) => boolean = () => true): void {
  const original = owner[key];
  if (typeof original !== 'function') return;
  try {
    owner[key] = new Proxy(original, {
      apply(target, self, args) {
        if (watching && when(args)) {
          forbidden.push(words);
          throw new Error(`the fuzzer forbids ${words}`);
        }
        return Reflect.apply(target, self, args);
      },
      construct(target, args, newTarget) {
        if (watching && when(args)) {
          forbidden.push(words);
          throw new Error(`the fuzzer forbids ${words}`);
        }
        return Reflect.construct(target, args, newTarget) as object;
      },
    });
  } catch {
    // A getter: not writable in this host.
  }
}

/** The same constructor, with a look at its arguments. */
function watched<T extends Function>(constructor: T, size: (args: any[]) => unknown): T {
  const proxy: T = new Proxy(constructor, {
    construct(target, args, newTarget) {
      note(size(args));
      return Reflect.construct(target, args, newTarget === proxy ? target : newTarget) as object;
    },
  });
  return proxy;
}

function watchBuffers(): void {
  const host = globalThis as Anything;
  const bufferSize = ([length, options]: any[]) => Math.max(Number(length) || 0, Number(options?.maxByteLength) || 0);
  const slice = ArrayBuffer.prototype.slice;
  ArrayBuffer.prototype.slice = function (this: ArrayBuffer, start = 0, end = this.byteLength) {
    note(Math.min(this.byteLength, Math.max(0, end - start)));
    return slice.call(this, start, end);
  };
  for (const name of ['ArrayBuffer', 'SharedArrayBuffer']) host[name] = watched(host[name], bufferSize);
  for (const name of TYPED) {
    const each: number = host[name].BYTES_PER_ELEMENT;
    host[name] = watched(host[name], ([from]) =>
      typeof from === 'number' ? from * each : typeof from?.length === 'number' ? from.length * each : 0,
    );
  }
  for (const name of ['alloc', 'allocUnsafe', 'allocUnsafeSlow'] as const) {
    const original = Buffer[name] as (size: number, ...rest: any[]) => Buffer;
    (Buffer as Anything)[name] = (size: number, ...rest: any[]) => (note(size), original.call(Buffer, size, ...rest));
  }
  if (host.WebAssembly)
    host.WebAssembly.Memory = watched(
      host.WebAssembly.Memory,
      ([descriptor]) => Number(descriptor?.initial ?? 0) * 65_536,
    );
}

/** Installs the watch in this thread, for good; it looks only between `start` and `stop`. */
export function installGuard(): { start(): void; stop(): Observed; collect(): void } {
  watchBuffers();
  const reads = ([, flags]: unknown[]) =>
    flags !== undefined &&
    flags !== 'r' &&
    flags !== fs.constants.O_RDONLY &&
    typeof flags !== 'function' &&
    typeof flags !== 'object';
  for (const owner of [fs, fs.promises] as Anything[]) {
    for (const key of Object.keys(owner))
      if (WRITERS.includes(key.replace(/Sync$/, ''))) forbid(owner, key, `fs.${key}()`);
    for (const key of ['open', 'openSync']) forbid(owner, key, 'opening a file to write', reads);
  }
  for (const key of ['exec', 'execFile', 'execFileSync', 'execSync', 'fork', 'spawn', 'spawnSync'])
    forbid(child, key, `${key}()`);
  for (const owner of [http, https] as Anything[])
    for (const key of ['request', 'get']) forbid(owner, key, 'a connection');
  for (const key of ['connect', 'createConnection']) forbid(net, key, 'a connection');
  for (const key of ['exit', 'abort', 'kill', 'chdir', 'dlopen']) forbid(process, key, `process.${key}()`);
  for (const key of ['fetch', 'eval', 'Function', 'WebSocket']) forbid(globalThis, key, `${key}()`);
  syncBuiltinESMExports();

  return {
    collect,
    start() {
      [largest, unseen, peak, forbidden] = [0, 0, 0, []];
      before = held();
      if (before > clean + MUCH / 8) {
        collect(); // garbage of the cases before would hide what this one takes
        clean = before = held();
      }
      watching = true;
    },
    stop() {
      watching = false;
      peak = Math.max(peak, held() - before);
      return { largest, peak, forbidden };
    },
  };
}

// What a page's Content-Security-Policy may forbid the processor's device, found out before a model
// is loaded: the browser tells one late and the other in an event without words.

import { UnsupportedError } from '../../base/errors.ts';

/** A module with nothing in it. */
const EMPTY = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0);

/** What a Worker of this text starts from. It is kept, since threads may be started anew. */
export const workerUrl = (source: string): string =>
  URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));

/** Resolves once a Worker made of a text has spoken. */
function startsWorkers(): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(workerUrl('postMessage(0)'), { type: 'module' });
    worker.onmessage = () => resolve(worker.terminate());
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(event.message || 'it did not start'));
    };
  });
}

/** In a browser: throws UnsupportedError that says what the page's policy must allow. */
export async function checkPolicy(): Promise<void> {
  const [compiles, starts] = await Promise.allSettled([WebAssembly.compile(EMPTY), startsWorkers()]);
  const forbidden = [
    { tried: compiles, got: 'a page that may not compile it', allow: "script-src 'wasm-unsafe-eval'" },
    { tried: starts, got: 'a page that may not start a Worker of a Blob', allow: 'worker-src blob:' },
  ].flatMap(({ tried, ...found }) => (tried.status === 'rejected' ? [{ ...found, cause: tried.reason as Error }] : []));
  if (forbidden.length === 0) return;
  const got = forbidden.map((each) => `${each.got} (${each.cause.message.replace(/\.+$/, '')})`).join(' and ');
  throw new UnsupportedError(
    `WebAssembly: got ${got}, expected one that may. Allow ${forbidden.map((each) => each.allow).join(' and ')} in its Content-Security-Policy.`,
    { cause: forbidden[0]!.cause },
  );
}

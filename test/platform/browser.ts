// A Chromium that a test sends to pages, without a driver of browsers between: a server on this
// machine serves the package under a name for each page, with the page's own headers, and the page
// sends back what came of it. The answer to that names the next page.

import { spawn, type ChildProcess } from 'node:child_process';
import { createReadStream, existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { BROWSER_BUNDLE } from '../../bark/build.ts';
import type { Report, Sentence } from './browser_page.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
// No WebGPU, so that the processor speaks. A page in a test is no danger to this machine, and as
// root, or in a container, Chromium's sandbox does not start.
const FLAGS = [
  '--headless=new',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-features=WebGPU',
  '--disable-dev-shm-usage',
  '--disable-background-networking',
  '--no-first-run',
];

export interface Page {
  /** Headers of all that is served to this page. */
  readonly headers: Readonly<Record<string, string>>;
  /** Whether it speaks in a Worker of its own. */
  readonly worker?: boolean;
}

export class Browser {
  readonly #executable: string;
  readonly #sentence: Sentence;
  readonly #pages = new Map<string, Page>();
  readonly #files: ReadonlyMap<string, Uint8Array>;
  readonly #server: Server;
  #profile = '';
  #child: ChildProcess | undefined;
  #waiting: { resolve(report: Report): void; reject(error: Error): void } | undefined;
  #ready: ServerResponse | undefined; // the answer that a page waits for

  private constructor(executable: string, sentence: Sentence, files: ReadonlyMap<string, Uint8Array>) {
    this.#executable = executable;
    this.#sentence = sentence;
    this.#files = files;
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  static async start(executable: string, sentence: Sentence): Promise<Browser> {
    const [library, page] = await Promise.all([
      build({ ...BROWSER_BUNDLE, write: false }),
      build({
        entryPoints: [join(ROOT, 'test/platform/browser_page.ts')],
        bundle: true,
        format: 'esm',
        write: false,
      }),
    ]);
    const files = new Map([
      ['dist/browser/index.js', library.outputFiles![0]!.contents],
      ['page.js', page.outputFiles[0]!.contents],
      ['page.html', Buffer.from('<!doctype html><title>speaks</title><script type="module" src="page.js"></script>')],
    ]);
    const browser = new Browser(executable, sentence, files);
    await new Promise<void>((resolve) => browser.#server.listen(0, '127.0.0.1', resolve));
    process.on('exit', () => {
      browser.#child?.kill('SIGKILL');
      browser.#removeProfile();
    });
    return browser;
  }

  /** What a page has to say; an error where it says nothing for so long. */
  async visit(name: string, page: Page, seconds = 50): Promise<Report> {
    this.#pages.set(name, page);
    const url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/${name}/page.html`;
    let said = '';
    const report = new Promise<Report>((resolve, reject) => (this.#waiting = { resolve, reject }));
    if (this.#ready) this.#ready.end(url);
    else {
      this.#profile = mkdtempSync(join(tmpdir(), 'bark-chromium-'));
      const child = spawn(this.#executable, [...FLAGS, `--user-data-dir=${this.#profile}`, url], {
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      this.#child = child;
      child.stderr.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-2000)));
      child.on('error', (error) => this.#waiting?.reject(error));
      child.on('exit', (code) => this.#waiting?.reject(new Error(`Chromium ended with code ${code}: ${said}`)));
    }
    this.#ready = undefined;
    const timer = setTimeout(
      () => this.#waiting?.reject(new Error(`${url}: no report after ${seconds} s. ${said}`)),
      seconds * 1000,
    );
    try {
      return await report;
    } catch (error) {
      await this.#end(); // the next page gets a browser of its own
      throw error;
    } finally {
      clearTimeout(timer);
      this.#waiting = undefined;
    }
  }

  async close(): Promise<void> {
    await this.#end();
    this.#server.close();
    this.#server.closeAllConnections();
  }

  /** Ends the browser and takes its profile away, once nobody writes into it. */
  async #end(): Promise<void> {
    const child = this.#child;
    this.#child = this.#ready = undefined;
    child?.removeAllListeners();
    if (child && child.exitCode === null && child.signalCode === null) {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill();
      const hard = setTimeout(() => child.kill('SIGKILL'), 3000);
      await ended;
      clearTimeout(hard);
    }
    this.#removeProfile();
  }

  #removeProfile(): void {
    try {
      if (this.#profile) rmSync(this.#profile, { recursive: true, force: true, maxRetries: 10 });
    } catch {
      // Its helpers may outlive it by a moment; the folder is one of the system's temporary ones.
    }
    this.#profile = '';
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, name, path] = /^\/([\w-]+)\/([^?]+)/.exec(request.url!) ?? [];
    const page = this.#pages.get(name ?? '');
    for (const [header, value] of Object.entries(page?.headers ?? {})) response.setHeader(header, value);
    if (!page || !path || path.includes('..')) return void response.writeHead(404).end();
    if (path === 'report') {
      let body = '';
      for await (const text of request.setEncoding('utf8')) body += text;
      this.#ready = response;
      return this.#waiting?.resolve(JSON.parse(body) as Report);
    }
    if (path === 'sentence')
      return void response.end(JSON.stringify({ ...this.#sentence, worker: page.worker ?? false }));
    const built = this.#files.get(path);
    if (built) {
      const type = path.endsWith('.js') ? 'text/javascript' : 'text/html';
      return void response.writeHead(200, { 'Content-Type': type }).end(built);
    }
    serveFile(join(ROOT, path), request, response);
  }
}

/** A file of the demo voice, whole or a range of it. */
function serveFile(file: string, request: IncomingMessage, response: ServerResponse): void {
  if (!file.startsWith(join(ROOT, 'bark/demo_voice')) || !existsSync(file)) return void response.writeHead(404).end();
  const { size } = statSync(file);
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
  if (from === undefined) return void createReadStream(file).pipe(response.writeHead(200, { 'Content-Length': size }));
  const [start, end] = [Number(from), Math.min(Number(to), size - 1)];
  response.writeHead(206, { 'Content-Range': `bytes ${start}-${end}/${size}`, 'Content-Length': end - start + 1 });
  createReadStream(file, { start, end }).pipe(response);
}

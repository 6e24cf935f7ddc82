// Where a model lies: a folder, a URL (a server on loopback that knows ranges, ignores them, or
// lies), Blobs.
// Every source must give the same bytes for the same ranges and refuse the same paths.
// Needs: no device.

import { suite } from 'uvu';
import { thrown } from '../../thrown.ts';
import * as assert from 'uvu/assert';
import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { DownloadError, InputError, UnsupportedError, WeightsError } from '../../../runtime/base/errors.ts';
import { readBytes, readJson, readText } from '../../../runtime/files/read.ts';
import { openModelSource } from '../../../runtime/sources/open_source.ts';
import type { ModelSource } from '../../../runtime/files/model_source.ts';

const test = suite('source');
const bytes = Uint8Array.from({ length: 200_003 }, (_, i) => (i * 7 + (i >> 8)) & 255);
const files: Record<string, Uint8Array<ArrayBuffer>> = {
  'data.bin': bytes,
  'empty.bin': new Uint8Array(0),
  'config.json': new TextEncoder().encode('\ufeff{"hidden_size": 64}'),
  'sub/voice ü#1.npz': Uint8Array.of(1, 2, 3),
};

type Mode =
  | 'ranges'
  | 'whole'
  | 'wrong range'
  | 'no content-range'
  | 'endless'
  | 'cut'
  | 'changing'
  | 'page for all'
  | 'broken';

let folder: string;
let server: Server;
let base: string;
let mode: Mode = 'ranges';
let requests = 0;

function answer(request: IncomingMessage, response: ServerResponse): void {
  requests++;
  const path = decodeURIComponent(new URL(request.url!, 'http://localhost').pathname).slice('/model/'.length);
  const data = Object.hasOwn(files, path) ? files[path]! : undefined;
  if (mode === 'broken') return void response.writeHead(503).end();
  if (!data && mode === 'page for all')
    return void response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end('<html>');
  if (!data) return void response.writeHead(404).end('none');
  if (mode === 'whole') return void response.writeHead(200).end(data);
  if (mode === 'endless') {
    const pour = () => void (response.writable && response.write(new Uint8Array(2 ** 20), pour));
    response.writeHead(200);
    return pour();
  }
  const [first, last] = /^bytes=(\d+)-(\d+)$/
    .exec(request.headers.range ?? '')!
    .slice(1)
    .map(Number) as [number, number];
  if (first >= data.length) return void response.writeHead(416, { 'content-range': `bytes */${data.length}` }).end();
  const end = Math.min(last + 1, data.length);
  const shift = mode === 'wrong range' && first > 0 ? 1 : 0;
  response.writeHead(206, {
    ...(mode === 'no content-range'
      ? {}
      : { 'content-range': `bytes ${first - shift}-${end - 1 - shift}/${data.length}` }),
    'content-length': end - first,
    etag: mode === 'changing' ? `"${requests}"` : '"1"',
  });
  if (mode === 'cut' && first > 0) response.write(data.slice(first, end - 1), () => response.destroy());
  else response.end(data.slice(first, end));
}

test.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bark-source-'));
  await mkdir(join(folder, 'sub'));
  for (const [path, data] of Object.entries(files)) await writeFile(join(folder, path), data);
  server = createServer(answer).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/model`;
});

test.after(async () => {
  server.closeAllConnections();
  server.close();
  await rm(folder, { recursive: true });
});

test.before.each(() => void ([mode, requests] = ['ranges', 0]));

const kinds: Record<string, () => Promise<ModelSource>> = {
  folder: () => openModelSource(folder),
  'folder with a slash': () => openModelSource(`${folder}/`),
  'file: URL': () => openModelSource(pathToFileURL(folder)),
  'file: text': () => openModelSource(pathToFileURL(folder).href),
  'http URL': () => openModelSource(new URL(base)),
  'http text': () => openModelSource(`${base}/`),
  Blobs: () => openModelSource(new Map(Object.entries(files).map(([path, data]) => [path, new Blob([data])]))),
  'picked files': () =>
    openModelSource(
      Object.entries(files).map(([path, data]) => {
        const file = new File([data], path.split('/').at(-1)!);
        return Object.defineProperty(file, 'webkitRelativePath', { value: `my model/${path}` });
      }),
    ),
};

for (const [kind, make] of Object.entries(kinds)) {
  test(`${kind}: ranges, sizes and paths`, async () => {
    const source = await make();
    assert.is(await openModelSource(source), source);
    const file = await source.open('data.bin');
    assert.is(file.size, bytes.length);
    assert.match(file.label, /data\.bin$/);
    for (const [start, end] of [
      [0, 0],
      [0, 1],
      [8, 65_536],
      [65_535, 65_537],
      [100_001, 200_003],
      [200_003, 200_003],
      [0, 200_003],
    ] as const) {
      assert.equal(Buffer.compare(await file.read(start, end), bytes.slice(start, end)), 0, `${start} to ${end}`);
    }
    for (const [start, end] of [
      [0, 200_004],
      [200_004, 200_004],
      [-1, 4],
      [5, 4],
      [0.5, 2],
      [0, NaN],
      [0, Infinity],
    ] as const) {
      assert.instance(await thrown(file.read(start, end)), WeightsError, `${start} to ${end}`);
    }
    await file.close();
    await file.close();

    assert.is((await readBytes(source, 'empty.bin')).length, 0);
    assert.ok(await source.has('empty.bin'));
    assert.equal([...(await readBytes(source, 'sub/voice ü#1.npz'))], [1, 2, 3]);
    assert.equal([...(await readBytes(source, './sub//voice ü#1.npz'))], [1, 2, 3]);
    assert.equal(await readJson(source, 'config.json'), { hidden_size: 64 });
    assert.ok((await source.has('config.json')) && !(await source.has('none.json')) && !(await source.has('sub')));

    const missing = await thrown(source.open('none.json'));
    assert.instance(missing, WeightsError);
    assert.match(missing.message, new RegExp(`^${source.label}: got no file "none\\.json"`));
    assert.instance(await thrown(source.open('sub')), WeightsError);
    assert.match(
      (await thrown(readBytes(source, 'data.bin', { limit: 1000 }))).message,
      /data\.bin: got 200003 bytes, expected at most 1000/,
    );
  });

  test(`${kind}: paths that leave the folder are refused`, async () => {
    const source = await make();
    for (const path of [
      '../data.bin',
      'sub/../../data.bin',
      '/etc/passwd',
      '..',
      '',
      '.',
      '//x/y',
      'sub\\..\\..\\x',
      'C:/x',
      'c:x',
      'a\0b',
    ]) {
      for (const act of [() => source.open(path), () => source.has(path)]) {
        const error = await thrown(act());
        assert.instance(error, WeightsError, path);
        assert.match(error.message, /expected one inside the folder/);
      }
    }
    for (const path of ['%2e%2e/data.bin', '..%2fdata.bin']) assert.not(await source.has(path), path);
  });
}

test('symbolic links are followed', async () => {
  await symlink(join(folder, 'data.bin'), join(folder, 'link.bin'));
  assert.is((await readBytes(await openModelSource(folder), 'link.bin')).length, bytes.length);
});

test('a folder that is not there, or is a file', async () => {
  const cases: [unknown, new () => Error, RegExp][] = [
    [join(folder, 'nope'), WeightsError, /nope: got no such folder/],
    [join(folder, 'data.bin', 'x'), WeightsError, /got no such folder/],
    [join(folder, 'data.bin'), WeightsError, /got a file, expected the folder/],
    ['some-org/model/deep', WeightsError, /got no such folder/],
    ['', InputError, /empty string/],
    ['http://', InputError, /expected a URL/],
    [new URL('ftp://example.com/model'), UnsupportedError, /got ftp:/],
    [undefined, InputError, /Pass the path/],
    [{}, InputError, /Pass the path/],
  ];
  for (const [source, kind, message] of cases) {
    const error = await thrown(openModelSource(source as string));
    assert.instance(error, kind, String(source));
    assert.match(error.message, message);
  }
});

test('a file cut short after it was opened', async () => {
  await writeFile(join(folder, 'shrinks.bin'), bytes);
  const file = await (await openModelSource(folder)).open('shrinks.bin');
  await truncate(join(folder, 'shrinks.bin'), 1000);
  const error = await thrown(file.read(500, 2000));
  assert.instance(error, WeightsError);
  assert.match(error.message, /shrinks\.bin: got a file of 1000 bytes, expected at least 2000/);
  await file.close();
});

test('text that is not UTF-8, JSON that is not JSON', async () => {
  const source = await openModelSource(new Map([['latin.txt', new Blob([Uint8Array.of(0x63, 0xe9)])]]));
  const error = await thrown(readText(source, 'latin.txt'));
  assert.instance(error, WeightsError);
  assert.match(error.message, /^files\/latin\.txt: got bytes that are not UTF-8/);

  const texts: [string, string][] = [
    ['{\n  "x": 1,\n  "y": }', 'line 3, column 8'],
    ['{"x": [1,\n', 'line 2, column 1, where the file ends'],
    ['', 'line 1, column 1, where the file ends'],
    ['{"a": {"b": [1, {}, [], "\\u00e9", -1.5e3]}, "c" 1}', 'line 1, column 49'],
    ['{"a": 1,}', 'line 1, column 9'],
    ['[1 2]', 'line 1, column 4'],
    ['[1}', 'line 1, column 3'],
    ['{"a": NaN}', 'line 1, column 7'],
    ['{} {}', 'line 1, column 4'],
    ['{1: 2}', 'line 1, column 2'],
    ['"a\\q"', 'line 1, column 1'],
    ['[01]', 'line 1, column 3'],
    ['[,]', 'line 1, column 2'],
    ['<b>', 'line 1, column 1'],
  ];
  for (const [text, place] of texts) {
    const bad = await thrown(readJson(await openModelSource(new Map([['a.json', new Blob([text])]])), 'a.json'));
    assert.instance(bad, WeightsError);
    assert.is(
      bad.message,
      `files/a.json: got text that is not JSON at ${place}, expected JSON. Fetch the file again.`,
      text,
    );
  }
});

test('http: a small file costs one request', async () => {
  await readJson(await openModelSource(base), 'config.json');
  assert.is(requests, 1);
});

test('http: a server without ranges serves small files, and no large ones', async () => {
  mode = 'whole';
  const source = await openModelSource(base);
  assert.equal(Buffer.compare(await readBytes(source, 'data.bin'), bytes), 0);
  mode = 'endless';
  const error = await thrown(source.open('data.bin'));
  assert.instance(error, DownloadError);
  assert.match(error.message, /data\.bin: got the whole file, expected the byte range.*Range requests/);
});

test('http: servers that lie', async () => {
  const source = await openModelSource(base);
  const read = async () => (await source.open('data.bin')).read(100_000, 150_000);
  const cases: [Mode, RegExp][] = [
    ['wrong range', /got Content-Range bytes 99999-149998\/200003/],
    ['no content-range', /got Content-Range none.*Access-Control-Expose-Headers/],
    ['cut', /broke after|bytes of a range/],
    ['changing', /another version/],
    ['broken', /got HTTP status 503/],
  ];
  for (const [next, message] of cases) {
    mode = next;
    const error = await thrown(read());
    assert.instance(error, DownloadError, next);
    assert.match(error.message, message);
  }
  assert.instance(await thrown(source.has('data.bin')), DownloadError);
  mode = 'page for all';
  assert.not(await source.has('none.json'));
  assert.instance(await thrown(source.open('none.json')), WeightsError);
});

test('http: nobody there', async () => {
  const gone = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => gone.once('listening', resolve));
  const { port } = gone.address() as AddressInfo;
  await new Promise((resolve) => gone.close(resolve));
  const source = await openModelSource(`http://127.0.0.1:${port}/model`);
  assert.instance(await thrown(source.open('config.json')), DownloadError);
});

test.run();

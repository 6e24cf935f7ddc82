// The lines that people read: one a stage, rewritten in place on a terminal and plain elsewhere.
// Needs: no device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Progress } from '../../../bark/command/progress.ts';
import { byteCount } from '../../../runtime/base/messages.ts';

const test = suite('progress');

function screen(isTTY: boolean, columns = 80) {
  const written: string[] = [];
  return { isTTY, columns, written, write: (text: string) => written.push(text) };
}

test('elsewhere: one plain line at the end of a stage', () => {
  const paper = screen(false);
  const progress = new Progress(paper);
  progress.begin('semantic');
  progress.step({ stage: 'semantic', done: 16, total: 247 });
  assert.equal(paper.written, []);
  progress.end('semantic', 23);
  progress.warn('it is late');
  assert.is(paper.written.length, 2);
  assert.match(paper.written[0]!, /^semantic +\d+\.\d\d s  23 tokens, \d+\/s\n$/);
  assert.is(paper.written[1], 'warning: it is late\n');
});

test('on a terminal: the line is rewritten, and never wider than the screen', () => {
  const terminal = screen(true, 24);
  const progress = new Progress(terminal);
  progress.begin('fine');
  progress.warn('!');
  const [first, erased, warning] = terminal.written;
  assert.ok(
    first!.startsWith('\r\x1b[Kfine') && !first!.includes('\n') && first!.length <= '\r\x1b[K'.length + 23,
    JSON.stringify(first),
  );
  assert.is(erased, '\r\x1b[K');
  assert.ok(warning!.endsWith('!\n'));
  progress.clear();
  assert.is(terminal.written.length, 3); // there was nothing left to take away
});

test('NO_COLOR and --quiet', () => {
  const before = process.env.NO_COLOR;
  process.env.NO_COLOR = '1';
  const plain = screen(true);
  new Progress(plain).fail('no');
  assert.equal(plain.written, ['error: no\n']);
  if (before === undefined) delete process.env.NO_COLOR;
  else process.env.NO_COLOR = before;

  const quiet = screen(false);
  const progress = new Progress(quiet, { quiet: true });
  progress.begin('load');
  progress.end('load', 3);
  progress.say('hello');
  progress.warn('hot');
  assert.equal(quiet.written, ['warning: hot\n']);
});

/** A clock that tests turn. */
function clocked(paper: ReturnType<typeof screen>, quiet = false) {
  const clock = { now: 1000 };
  return { clock, progress: new Progress(paper, { quiet, clock: () => clock.now }) };
}

test('a large download elsewhere: a line every ten seconds, and one at its end', () => {
  const paper = screen(false);
  const { clock, progress } = clocked(paper);
  const total = 1_676_663_913;
  for (let second = 0; second <= 30; second++) {
    clock.now = 1000 + 1000 * second;
    progress.step({
      stage: 'download',
      file: 'pytorch_model.bin',
      done: Math.min(total, 100e6 + 50e6 * second),
      total,
    });
    assert.is(progress.transfers('download'), 1);
  }
  assert.equal(paper.written, [
    'download  pytorch_model.bin  35 %  600 MB of 1.68 GB, 50.0 MB/s, 22 s left\n',
    'download  pytorch_model.bin  65 %  1.10 GB of 1.68 GB, 50.0 MB/s, 12 s left\n',
    'download  pytorch_model.bin  95 %  1.60 GB of 1.68 GB, 50.0 MB/s, 2 s left\n',
  ]);
  clock.now += 1534;
  progress.step({ stage: 'download', file: 'pytorch_model.bin', done: total, total });
  // What was here before does not count as speed.
  assert.equal(paper.written.slice(3), ['download  pytorch_model.bin  1.68 GB in 31.53 s, 50.0 MB/s\n']);
  assert.is(progress.transfers('download'), 0);
  progress.step({ stage: 'download', file: 'pytorch_model.bin', done: total, total });
  assert.is(paper.written.length, 4);
});

test('small and quick downloads are not told of; slow ones are', () => {
  const paper = screen(false);
  const { clock, progress } = clocked(paper);
  progress.step({ stage: 'download', file: 'config.json', done: 0, total: 8803 });
  progress.step({ stage: 'download', file: 'vocab.txt', done: 0, total: 996_000 });
  clock.now += 300;
  progress.step({ stage: 'download', file: 'config.json', done: 8803, total: 8803 });
  progress.step({ stage: 'download', file: 'cached.json', done: 12, total: 12 });
  progress.step({ stage: 'download', file: 'cached.bin', done: 2e9, total: 2e9 });
  assert.equal(paper.written, []);
  clock.now += 900;
  progress.step({ stage: 'download', file: 'vocab.txt', done: 996_000, total: 996_000 });
  assert.equal(paper.written, ['download  vocab.txt  996 kB in 1.20 s, 830 kB/s\n']);
  const silent = screen(false);
  const { clock: other, progress: quiet } = clocked(silent, true);
  quiet.step({ stage: 'download', file: 'a', done: 0, total: 2e9 });
  other.now += 60_000;
  quiet.step({ stage: 'download', file: 'a', done: 1e9, total: 2e9 });
  quiet.step({ stage: 'download', file: 'a', done: 2e9, total: 2e9 });
  assert.equal(silent.written, []);
});

test('on a terminal a conversion is one line with bytes, speed and time left; a long name loses its beginning', () => {
  const terminal = screen(true, 60);
  const { clock, progress } = clocked(terminal);
  const step = (ms: number, done: number, file = 'model.safetensors') => {
    clock.now += ms;
    progress.step({ stage: 'convert', file, done, total: 1.68e9 });
  };
  step(0, 0);
  step(10, 4e6); // too soon to draw again
  step(990, 410e6);
  step(500, 612e6);
  step(1000, 1.68e9);
  const lines = terminal.written.map((text) => text.replace(/^\r\x1b\[K/, '').replace(/\x1b\[\d*m/g, ''));
  assert.equal(lines, [
    'convert   model.safetensors  0 B of 1.68 GB',
    'convert   …fetensors  410 MB of 1.68 GB, 410 MB/s, 4 s left',
    'convert   …fetensors  612 MB of 1.68 GB, 408 MB/s, 3 s left',
    '', // the line that was not finished goes
    'convert   model.safetensors  1.68 GB in 2.50 s, 672 MB/s\n',
  ]);
  for (const line of lines) assert.ok(line.trimEnd().length < 60);
});

test('a stage that waits for downloads does not count their time', () => {
  const paper = screen(false);
  const { clock, progress } = clocked(paper);
  progress.begin('load');
  clock.now += 100;
  progress.step({ stage: 'download', file: 'a.bin', done: 0, total: 3e6 });
  clock.now += 5000;
  progress.step({ stage: 'download', file: 'b.bin', done: 0, total: 3e6 });
  clock.now += 5000;
  progress.step({ stage: 'download', file: 'a.bin', done: 3e6, total: 3e6 });
  clock.now += 5000;
  progress.step({ stage: 'download', file: 'b.bin', done: 3e6, total: 3e6 });
  progress.step({ stage: 'load', done: 3, total: 9 });
  clock.now += 150;
  assert.is(progress.end('load', 9), 250);
  assert.equal(paper.written, [
    'download  a.bin  3.00 MB in 10.00 s, 300 kB/s\n',
    'download  b.bin  3.00 MB in 10.00 s, 300 kB/s\n',
    'load         0.25 s  9 tensors\n',
  ]);
});

test('what comes from files does not steer the terminal', () => {
  const terminal = screen(false);
  const { clock, progress } = clocked(terminal);
  progress.warn('\x1b]0;title\x07 a\r\nb\u009b2J');
  progress.step({ stage: 'download', file: 'a\x1b[2J', done: 0, total: 2e6 });
  clock.now += 1000;
  progress.step({ stage: 'download', file: 'a\x1b[2J', done: 2e6, total: 2e6 });
  assert.equal(terminal.written, [
    'warning: \ufffd]0;title\ufffd a\ufffd\ufffdb\ufffd2J\n',
    'download  a\ufffd[2J  2.00 MB in 1.00 s, 2.00 MB/s\n',
  ]);
});

test('bytes in three digits', () => {
  const cases: [number, string][] = [
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.00 kB'],
    [9_949, '9.95 kB'],
    [9_999, '10.0 kB'],
    [99_960, '100 kB'],
    [612e6, '612 MB'],
    [1_676_663_913, '1.68 GB'],
    [4_486_643_861, '4.49 GB'],
    [2e12, '2.00 TB'],
    [3.7, '4 B'],
  ];
  for (const [bytes, text] of cases) assert.is(byteCount(bytes), text);
});

test.run();

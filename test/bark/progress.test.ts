// The lines that people read: one a stage, rewritten in place on a terminal and plain elsewhere.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Progress } from '../../bark/progress.ts';

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
  assert.ok(first!.startsWith('\r\x1b[Kfine') && !first!.includes('\n') && first!.length <= '\r\x1b[K'.length + 23, JSON.stringify(first));
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

test.run();

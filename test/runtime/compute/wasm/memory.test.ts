// The memory of the processor's device: ranges that do not overlap, holes that are filled again and
// joined, growth that is asked for once and ends with an error that says what helps.
// Needs: no device.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Memory } from '../../../../runtime/compute/wasm/memory.ts';
import { UnsupportedError } from '../../../../runtime/base/errors.ts';

const test = suite('wasm memory');
const PAGE = 65536;

test('ranges begin at multiples of 256 and do not overlap; what nobody had before is fresh', () => {
  const memory = new Memory(true, () => assert.unreachable('shared memory grows by itself'));
  let end = 0;
  for (const size of [1, 256, 257, 100_000, 16, 3 * PAGE]) {
    const { at, fresh } = memory.take(size, 'test');
    assert.ok(at % 256 === 0 && at >= end && fresh, `${size} bytes at ${at}`);
    end = at + size;
    memory.view(at, size)!.fill(7); // a range beyond the memory would throw
  }
});

test('the smallest hole that fits is filled, neighbours are joined, and a hole is not fresh', () => {
  const memory = new Memory(true, () => {});
  const [a, b, c, d, e] = [512, 1024, 256, 2048, 256].map((size) => memory.take(size, 'test').at) as number[];
  memory.give(a!, 512);
  memory.give(c!, 256);
  assert.equal(memory.take(200, 'test'), { at: c, fresh: false });
  memory.give(c!, 200); // rounded up as it was taken
  memory.give(b!, 1024);
  assert.equal(memory.take(512 + 1024 + 256, 'test'), { at: a, fresh: false }, 'three neighbours are one hole');
  memory.give(d!, 2048);
  memory.give(e!, 256);
  assert.equal(memory.take(256, 'test'), { at: d, fresh: false });
  assert.equal(memory.take(2048, 'test'), { at: d! + 256, fresh: false });
});

test('random takes and gives never overlap', () => {
  const memory = new Memory(true, () => {});
  const held = new Map<number, number>();
  let seed = 5;
  const random = (n: number): number => (seed = (seed * 48271) % 2147483647) % n;
  for (let i = 0; i < 3000; i++) {
    if (held.size > 0 && random(2) === 0) {
      const [at, size] = [...held][random(held.size)]!;
      memory.give(at, size);
      held.delete(at);
      continue;
    }
    const size = 1 + random(5000);
    const { at } = memory.take(size, 'test');
    for (const [other, length] of held) assert.ok(at + size <= other || other + length <= at, `${at} in ${other}`);
    held.set(at, size);
  }
});

test('without shared memory growth is told to the thread that has it', () => {
  const grown: number[] = [];
  const memory = new Memory(false, (pages) => grown.push(pages));
  const { at } = memory.take(5 * PAGE, 'test');
  assert.is(memory.view(at, 16), undefined);
  assert.ok(grown.length === 1 && grown[0]! >= 5, `${grown}`);
  assert.is(memory.pages, 1 + grown[0]!);
});

test('beyond the last byte it says what was asked, what is held and what helps', () => {
  const memory = new Memory(false, () => {});
  memory.take(3 * 2 ** 30, 'weights');
  let error: unknown;
  try {
    memory.take(2 ** 30, 'more weights');
  } catch (caught) {
    error = caught;
  }
  assert.instance(error, UnsupportedError);
  assert.match(
    (error as Error).message,
    /^more weights: needs .* beside the .* in use.*at most .* Use dtype 'float16', offload/,
  );
  assert.ok(memory.take(2 ** 20, 'less').fresh, 'and less still fits');
});

test.run();

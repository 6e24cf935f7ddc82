// Bytes of tensors that are views: transposed, sliced, expanded. They are gathered in row-major
// order through windows of their storage, so that memory stays bounded by the bytes asked for and
// one window. No element is converted.

import { type StoredDType, itemBytes } from '../checkpoint.ts';

/** A strided view; `offset` and `stride` count elements. */
export interface StridedView {
  readonly dtype: StoredDType;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
}

const WINDOW = 32 * 2 ** 20;

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** How many elements of the storage the view reaches, from the storage's start. */
export function reach({ offset, shape, stride }: StridedView): number {
  if (shape.includes(0)) return 0;
  return shape.reduce((last, size, axis) => last + (size - 1) * stride[axis]!, offset) + 1;
}

/**
 * The same view with as few axes as possible: none of one element, and no two that one stride can
 * walk.
 */
function merged({ shape, stride }: Pick<StridedView, 'shape' | 'stride'>): { size: number; stride: number }[] {
  const axes: { size: number; stride: number }[] = [];
  shape.forEach((size, axis) => {
    const step = stride[axis]!;
    const outer = axes.at(-1);
    if (size === 1) return;
    if (outer && outer.stride === step * size) axes[axes.length - 1] = { size: outer.size * size, stride: step };
    else axes.push({ size, stride: step });
  });
  return axes;
}

export function isContiguous(view: StridedView): boolean {
  const axes = merged(view);
  return axes.length === 0 || (axes.length === 1 && axes[0]!.stride === 1);
}

/**
 * Bytes [start, end) of the view in row-major order. `read` gives bytes of the storage. A range
 * that is spread over all of a large storage, such as rows of a transposed matrix, reads all of it:
 * ask for large ranges.
 */
export async function gather(
  view: StridedView,
  start: number,
  end: number,
  read: (start: number, end: number) => Promise<Uint8Array>,
): Promise<Uint8Array<ArrayBuffer>> {
  if (start === end) return new Uint8Array(0);
  const item = itemBytes[view.dtype];
  const first = Math.floor(start / item);
  const last = Math.ceil(end / item);
  const out = new Uint8Array((last - first) * item);
  const axes = merged(view);
  const inner = axes.pop() ?? { size: 1, stride: 1 };

  /**
   * Walks the rows that [first, last) touches: where each begins in the storage, and which of its
   * elements are wanted.
   */
  const eachRow = (visit: (base: number, from: number, to: number, into: number) => void) => {
    const row = Math.floor(first / inner.size);
    const index = axes.map(() => 0);
    let base = view.offset;
    for (let axis = axes.length - 1, rest = row; axis >= 0; axis--) {
      index[axis] = rest % axes[axis]!.size;
      base += index[axis]! * axes[axis]!.stride;
      rest = Math.floor(rest / axes[axis]!.size);
    }
    for (let at = row * inner.size; at < last; at += inner.size) {
      visit(base, Math.max(first - at, 0), Math.min(last - at, inner.size), Math.max(at, first) - first);
      for (let axis = axes.length - 1; axis >= 0; axis--) {
        base += axes[axis]!.stride;
        if (++index[axis]! < axes[axis]!.size) break;
        base -= axes[axis]!.stride * axes[axis]!.size;
        index[axis] = 0;
      }
    }
  };

  let low = Infinity;
  let high = 0;
  eachRow((base, from, to) => {
    low = Math.min(low, base + from * inner.stride);
    high = Math.max(high, base + (to - 1) * inner.stride + 1);
  });
  for (let begin = low; begin < high; begin += WINDOW / item) {
    const stop = Math.min(begin + WINDOW / item, high);
    const bytes = await read(begin * item, stop * item);
    eachRow((base, from, to, into) => {
      // The elements of the row that lie in the window; all or none where its stride is 0.
      const step = inner.stride;
      const lo = step === 0 ? (base >= begin ? from : to) : Math.max(from, Math.ceil((begin - base) / step));
      const hi = step === 0 ? (base < stop ? to : from) : Math.min(to, Math.ceil((stop - base) / step));
      let source = (base + lo * step - begin) * item;
      let target = (into + lo - from) * item;
      if (step === 1 && lo < hi) out.set(bytes.subarray(source, source + (hi - lo) * item), target);
      else {
        for (let i = lo; i < hi; i++, source += step * item)
          for (let byte = 0; byte < item; byte++) out[target++] = bytes[source + byte]!;
      }
    });
  }
  return start === first * item && end === last * item ? out : out.slice(start - first * item, end - first * item);
}

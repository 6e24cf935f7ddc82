// nn.LSTM as plain loops in f64: what the GPU is compared with.

export interface LstmWeights {
  readonly weightIh: ArrayLike<number>; // (4H, H), gates i, f, g, o
  readonly weightHh: ArrayLike<number>; // (4H, H)
  readonly biasIh: ArrayLike<number>; // (4H)
  readonly biasHh: ArrayLike<number>; // (4H)
}

/** One layer from zero state: x (B, T, H) → (B, T, H). */
export function lstm(x: ArrayLike<number>, w: LstmWeights, batch: number, frames: number, size: number): Float64Array {
  const sigmoid = (v: number) => 1 / (1 + Math.exp(-v));
  const y = new Float64Array(batch * frames * size);
  for (let b = 0; b < batch; b++) {
    let h = new Float64Array(size);
    const c = new Float64Array(size);
    for (let t = 0; t < frames; t++) {
      const at = (b * frames + t) * size;
      const gate = (row: number): number => {
        let sum = w.biasIh[row]! + w.biasHh[row]!;
        for (let k = 0; k < size; k++)
          sum += w.weightIh[row * size + k]! * x[at + k]! + w.weightHh[row * size + k]! * h[k]!;
        return sum;
      };
      const next = new Float64Array(size);
      for (let u = 0; u < size; u++) {
        c[u] = sigmoid(gate(size + u)) * c[u]! + sigmoid(gate(u)) * Math.tanh(gate(2 * size + u));
        next[u] = sigmoid(gate(3 * size + u)) * Math.tanh(c[u]!);
      }
      h = next;
      y.set(h, at);
    }
  }
  return y;
}

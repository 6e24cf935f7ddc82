// The functions of four lanes of kernels/common, as kernels that a test can call.
// Shapes: x (count) f32, y (count) f32 with count a multiple of 4.

import { elu4, sigmoid4, tanh4 } from '../../../kernels/common/activations.as';
import { exp4, gelu4, log4 } from '../../../kernels/common/math.as';

export function exp(x: usize, y: usize, count: i32): void {
  for (const end = x + (<usize>count << 2); x < end; x += 16, y += 16) v128.store(y, exp4(v128.load(x)));
}

export function log(x: usize, y: usize, count: i32): void {
  for (const end = x + (<usize>count << 2); x < end; x += 16, y += 16) v128.store(y, log4(v128.load(x)));
}

export function gelu(x: usize, y: usize, count: i32): void {
  for (const end = x + (<usize>count << 2); x < end; x += 16, y += 16) v128.store(y, gelu4(v128.load(x)));
}

export function elu(x: usize, y: usize, count: i32): void {
  for (const end = x + (<usize>count << 2); x < end; x += 16, y += 16) v128.store(y, elu4(v128.load(x)));
}

export function sigmoid(x: usize, y: usize, count: i32): void {
  for (const end = x + (<usize>count << 2); x < end; x += 16, y += 16) v128.store(y, sigmoid4(v128.load(x)));
}

export function tanh(x: usize, y: usize, count: i32): void {
  for (const end = x + (<usize>count << 2); x < end; x += 16, y += 16) v128.store(y, tanh4(v128.load(x)));
}

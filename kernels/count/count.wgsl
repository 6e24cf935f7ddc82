// y = y + 1: of a chain of these, each reads what the one before it wrote, so the end tells whether
// a driver left one out.
// Grid: 1.

@group(0) @binding(0) var<storage, read_write> y: array<u32>; // (1)

@compute @workgroup_size(1)
fn main() {
  y[0] += 1u;
}

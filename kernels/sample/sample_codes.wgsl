// Draws one codebook of the fine model for the T positions of a window: argmax, or a draw from
// softmax(logits / temperature) without filters (Gumbel-max). Positions before `start` keep their
// codes.
// HF: BarkFineModel.generate, the two branches on temperature.
// Shapes: logits (T, V), codes (T, Q).
// Grid: (T), one workgroup for each position.
override WG: u32 = 64u; // threads of a workgroup, a multiple of 16
#include "sample/random.wgsl"
#include "common/reduce.wgsl"

// Written by the host; kernels/sample/sample_codes.ts packs it.
struct SamplingCodes {
  key: vec2<u32>,   // key of the random numbers, different for each window and codebook
  temperature: f32, // 0: argmax
  start: u32,       // first position that is drawn
  column: u32,      // the codebook that is drawn
  count: u32,       // logits that can be drawn, from logit 0 on
}

struct Params {
  logits: u32,    // V: logits of a position
  codebooks: u32, // Q: codes of a position
}

@group(0) @binding(0) var<uniform>             params: Params;
@group(0) @binding(1) var<uniform>             sampling: SamplingCodes;
@group(0) @binding(2) var<storage, read>       logits: array<f32>; // (T, V)
@group(0) @binding(3) var<storage, read_write> codes: array<u32>;  // (T, Q)

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let position = wg.x;
  if (position < sampling.start) { return; }
  let count = clamp(sampling.count, 1u, params.logits);
  let greedy = sampling.temperature <= 0.0;
  // Argmax of the scores, with Gumbel noise unless greedy.
  var best = Best(LOWEST, 0xffffffffu);
  for (var i = thread; i < count; i += WG) {
    var score = logits[position * params.logits + i];
    if (!greedy) {
      let noise = gumbel(threefry2x32(sampling.key, vec2<u32>(position, i)).x);
      score = clamp(score / sampling.temperature, -1e30, 1e30) + noise;
    }
    best = better(best, Best(score, i));
  }
  best = workgroup_argmax(thread, best);
  if (thread == 0u) { codes[position * params.codebooks + sampling.column] = min(best.index, count - 1u); }
}

// Draws one codebook of the fine model for the positions of a window: argmax, or softmax(logits /
// temperature) without filters (Gumbel-max). HF: BarkFineModel.generate, the two branches on
// temperature. Positions before `start` keep their codes.
// Grid: (T), one workgroup a position.
override WG: u32 = 64u;
#include "sample/random.wgsl"
#include "common/reduce.wgsl"

struct SamplingCodes { // written by the host; sample_codes.ts packs it
  key: vec2<u32>,   // of the random numbers, another one for each window and codebook
  temperature: f32, // 0: argmax
  start: u32,       // the first position that is drawn
  column: u32,      // the codebook
  count: u32,       // logits that can be drawn, from logit 0 on
}

struct Params {
  logits: u32,    // of a position
  codebooks: u32, // codes of a position
}

@group(0) @binding(0) var<uniform>             params: Params;
@group(0) @binding(1) var<uniform>             sampling: SamplingCodes;
@group(0) @binding(2) var<storage, read>       logits: array<f32>; // (T, params.logits)
@group(0) @binding(3) var<storage, read_write> codes: array<u32>;  // (T, params.codebooks)

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let position = wg.x;
  if (position < sampling.start) { return; }
  let count = clamp(sampling.count, 1u, params.logits);
  let greedy = sampling.temperature <= 0.0;
  var best = Best(LOWEST, 0xffffffffu);
  for (var i = thread; i < count; i += WG) {
    var score = logits[position * params.logits + i];
    if (!greedy) { score = clamp(score / sampling.temperature, -1e30, 1e30) + gumbel(threefry2x32(sampling.key, vec2<u32>(position, i)).x); }
    best = better(best, Best(score, i));
  }
  best = workgroup_argmax(thread, best);
  if (thread == 0u) { codes[position * params.codebooks + sampling.column] = min(best.index, count - 1u); }
}

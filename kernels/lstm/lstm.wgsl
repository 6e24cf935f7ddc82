// One dispatch of an LSTM's layers; lstm/step.wgsl has formula, reference and shapes.
// Grid: (⌈4 · quads / UNITS⌉, layers, B)
// The base file: portable core WGSL, for adapters without subgroups. WG / UNITS lanes share a unit
// and add their parts in workgroup memory.
#include "lstm/step.wgsl"
var<workgroup> partials: array<vec4<f32>, WG>; // [unit][lane]

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let step = step_of(group.y, all(group == vec3<u32>(0u)) && thread == 0u);
  if (step < 0 || step >= i32(p.steps)) { return; }
  let lanes = WG / UNITS;
  let lane = thread % lanes;
  let unit = group.x * UNITS + thread / lanes;
  partials[thread] = partial_gates(group.y, step, unit, group.z, lane, lanes);
  workgroupBarrier();
  if (lane > 0u) { return; }
  // Lane 0 adds the lanes.
  var sum = vec4<f32>(0.0);
  for (var l = 0u; l < lanes; l++) { sum += partials[thread + l]; }
  update_unit(group.y, step, unit, group.z, sum);
}

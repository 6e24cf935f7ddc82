// One step of an LSTM's layers (common/lstm.wgsl), portable: the lanes of a unit meet in workgroup
// memory.
// Grid: (⌈units / UNITS⌉, layers, sentences), units rounded up to 4.
#include "lstm/step.wgsl"
var<workgroup> partials: array<vec4<f32>, WG>; // [unit][lane]

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let step = begin(group.y, all(group == vec3<u32>(0u)) && thread == 0u);
  if (step < 0 || step >= i32(p.steps)) { return; }
  let lanes = WG / UNITS;
  let lane = thread % lanes;
  let unit = group.x * UNITS + thread / lanes;
  partials[thread] = walk(group.y, step, unit, group.z, lane, lanes);
  workgroupBarrier();
  if (lane > 0u) { return; }
  var sum = vec4<f32>(0.0);
  for (var l = 0u; l < lanes; l++) { sum += partials[thread + l]; }
  finish(group.y, step, unit, group.z, sum);
}

// Prints the WebGPU adapter that this process finds, as one line of JSON. Run as a child, since a
// bad driver can crash or hang whoever asks. Exit codes: 0 an adapter, 3 none, 4 npm `webgpu`
// cannot run here at all. Set VK_DRIVER_FILES to ask about one driver.

import { writeSync } from 'node:fs';

// as in runtime/host/platform.ts, so that this lists what a device can have
const DAWN_FEATURES = 'enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia';

// Dawn's threads can outlive the answer, so the process ends by itself; writeSync, because exit()
// does not wait for console.log on a pipe.
function end(text, code) {
  writeSync(1, `${text}\n`);
  process.exit(code);
}

let gpu;
try {
  const { create } = await import('webgpu');
  gpu = create([DAWN_FEATURES]);
} catch (error) {
  const libc = process.report?.getReport().header.glibcVersionRuntime;
  const host = `${process.platform} ${process.arch}${process.platform === 'linux' ? (libc ? `, glibc ${libc}` : ', no glibc') : ''}`;
  end(
    `npm package 'webgpu' cannot be loaded on ${host} (${error.message.split('\n')[0]}), expected Linux x64 or arm64 with glibc 2.34 or newer, macOS or Windows.`,
    4,
  );
}

const adapter = await gpu.requestAdapter();
if (!adapter) end('{}', 3);
const { vendor, architecture, device, description } = adapter.info;
end(JSON.stringify({ vendor, architecture, device, description, features: [...adapter.features].sort() }), 0);

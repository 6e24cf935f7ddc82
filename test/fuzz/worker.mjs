// Starts worker.ts in a thread: tsx loads TypeScript in the main thread alone unless it is asked
// to.

import { register } from 'tsx/esm/api';

register();
await import('./worker.ts');

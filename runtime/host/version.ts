// The version of this package: for reports, and for what was measured with one version only.

import { ownPackage } from './package_root.ts';

/** 'unknown' where the code was bundled into another program, and in a browser. */
export const packageVersion = async (): Promise<string> => (await ownPackage())?.json.version ?? 'unknown';

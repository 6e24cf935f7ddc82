// Files that attack a reader of pickles, byte by byte.

export const zeros = (n: number) => new Uint8Array(n);

export type File = readonly [name: string, bytes: Uint8Array, expected: RegExp];

export const REFUSED = /WeightsError: /;

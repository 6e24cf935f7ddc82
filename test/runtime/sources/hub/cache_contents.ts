// Contents that the tests of the Hub's cache share.

export const text = (value: string) => new TextEncoder().encode(value);

// Zip archives by hand, good and bad ones, for the fuzz corpus: stored or deflated, ZIP64 or not,
// with data descriptors, with lies. Shares no code with the library. Reference: PKWARE APPNOTE
// 6.3.10, 4.3.

import { deflateRawSync } from 'node:zlib';
import { bytesOf, little } from './pickle_code.ts';

export interface ZipMember {
  name: string;
  data: Uint8Array;
  deflate?: boolean;
  zip64?: boolean;
  /** Sizes and checksum follow the data, and are 0 in front of it. */
  descriptor?: boolean;
  /** Bytes of padding in the local extra field, as torch writes it. */
  pad?: number;
  /** Lies, in the directory. */
  claims?: { size?: number; packed?: number; crc?: number; offset?: number; flags?: number; method?: number };
}

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = (n >>> 1) ^ (n & 1 ? 0xedb88320 : 0);
  return n;
});

export function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ TABLE[(crc ^ byte) & 0xff]!;
  return ~crc >>> 0;
}

export function zipOf(members: readonly ZipMember[], { zip64End = false, comment = '' } = {}): Uint8Array<ArrayBuffer> {
  const local: Uint8Array[] = [];
  const central: Uint8Array[] = [];
  let at = 0;
  for (const { name, data, deflate = false, zip64 = false, descriptor = false, pad = 0, claims = {} } of members) {
    const packed = deflate ? new Uint8Array(deflateRawSync(data)) : data;
    const nameBytes = new TextEncoder().encode(name);
    const method = claims.method ?? (deflate ? 8 : 0);
    const flags = claims.flags ?? (descriptor ? 0x808 : 0x800);
    const crc = claims.crc ?? crc32(data);
    const [size, packedSize, offset] = [
      claims.size ?? data.length,
      claims.packed ?? packed.length,
      claims.offset ?? at,
    ];
    const big = (n: number) => (zip64 ? 0xffffffff : n);
    const padding = pad > 0 ? bytesOf('FB', little(pad, 2), new Uint8Array(pad)) : new Uint8Array();
    const extraLocal = bytesOf(
      zip64 ? bytesOf(little(1, 2), little(16, 2), little(data.length, 8), little(packed.length, 8)) : '',
      padding,
    );
    const extraCentral = zip64
      ? bytesOf(little(1, 2), little(24, 2), little(size, 8), little(packedSize, 8), little(offset, 8))
      : new Uint8Array();
    const sizes = descriptor
      ? new Uint8Array(12)
      : bytesOf(little(crc, 4), little(big(packed.length), 4), little(big(data.length), 4));
    const tail = descriptor
      ? bytesOf('PK\x07\x08', little(crc, 4), little(packed.length, zip64 ? 8 : 4), little(data.length, zip64 ? 8 : 4))
      : new Uint8Array();
    const record = bytesOf(
      'PK\x03\x04',
      little(zip64 ? 45 : 20, 2),
      little(flags, 2),
      little(method, 2),
      little(0, 2),
      little(33, 2),
      sizes,
      little(nameBytes.length, 2),
      little(extraLocal.length, 2),
      nameBytes,
      extraLocal,
      packed,
      tail,
    );
    local.push(record);
    central.push(
      bytesOf(
        'PK\x01\x02',
        little(45, 2),
        little(zip64 ? 45 : 20, 2),
        little(flags, 2),
        little(method, 2),
        little(0, 2),
        little(33, 2),
        little(crc, 4),
        little(big(packedSize), 4),
        little(big(size), 4),
        // prettier-ignore
        little(nameBytes.length, 2),
        little(extraCentral.length, 2),
        new Uint8Array(12 - 2),
        little(big(offset), 4),
        nameBytes,
        extraCentral,
      ),
    );
    at += record.length;
  }
  const directory = bytesOf(...central);
  const count = members.length;
  const end64 = zip64End
    ? bytesOf(
        'PK\x06\x06',
        little(44, 8),
        little(45, 2),
        little(45, 2),
        little(0, 4),
        little(0, 4),
        little(count, 8),
        little(count, 8),
        little(directory.length, 8),
        little(at, 8),
        'PK\x06\x07',
        little(0, 4),
        little(at + directory.length, 8),
        little(1, 4),
      )
    : new Uint8Array();
  const end = bytesOf(
    'PK\x05\x06',
    little(0, 4),
    little(zip64End ? 0xffff : count, 2),
    little(zip64End ? 0xffff : count, 2),
    little(zip64End ? 0xffffffff : directory.length, 4),
    little(zip64End ? 0xffffffff : at, 4),
    little(encoderLength(comment), 2),
    comment,
  );
  return bytesOf(...local, directory, end64, end);
}

const encoderLength = (text: string): number => new TextEncoder().encode(text).length;

const RECORDS: Readonly<Record<string, { length: number; fields: readonly [at: number, size: number][] }>> = {
  'PK\x03\x04': { length: 30, fields: [[6, 2], [8, 2], [14, 4], [18, 4], [22, 4], [26, 2], [28, 2]] },
  'PK\x01\x02': { length: 46, fields: [[8, 2], [10, 2], [16, 4], [20, 4], [24, 4], [28, 2], [30, 2], [32, 2], [42, 4]] },
  'PK\x05\x06': { length: 22, fields: [[4, 2], [8, 2], [10, 2], [12, 4], [16, 4], [20, 2]] },
  'PK\x06\x06': { length: 56, fields: [[4, 8], [24, 8], [32, 8], [40, 8], [48, 8]] },
  'PK\x06\x07': { length: 20, fields: [[4, 4], [8, 8], [16, 4]] },
  'PK\x07\x08': { length: 16, fields: [[4, 4], [8, 4], [12, 4]] },
}; // prettier-ignore

/** Where records, names, data and extra fields begin, and the integers of all records. */
export function splitZip(bytes: Uint8Array): { cuts: number[]; fields: { at: number; size: number }[] } {
  const cuts = new Set<number>([bytes.length]);
  const fields: { at: number; size: number }[] = [];
  const u16 = (at: number) => bytes[at]! + 256 * bytes[at + 1]!;
  for (let at = bytes.indexOf(0x50); at >= 0; at = bytes.indexOf(0x50, at + 1)) {
    const signature = String.fromCharCode(...bytes.subarray(at, at + 4));
    const record = RECORDS[signature];
    if (!record || at + record.length > bytes.length) continue;
    cuts.add(at).add(at + record.length);
    fields.push(...record.fields.map(([offset, size]) => ({ at: at + offset, size })));
    if (signature !== 'PK\x03\x04' && signature !== 'PK\x01\x02') continue;
    const nameAt = signature === 'PK\x03\x04' ? 26 : 28;
    const nameEnd = at + record.length + u16(at + nameAt);
    const extraEnd = nameEnd + u16(at + nameAt + 2);
    cuts.add(nameEnd).add(extraEnd);
    if (u16(nameEnd) === 1)
      for (let k = 0; k < Math.floor(u16(nameEnd + 2) / 8); k++) fields.push({ at: nameEnd + 4 + 8 * k, size: 8 });
  }
  return { cuts: [...cuts].filter((cut) => cut <= bytes.length).sort((a, b) => a - b), fields };
}

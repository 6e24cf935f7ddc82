// The Hub's answers: files by ranges, refusals as the real one words them.

import type { IncomingMessage } from 'node:http';
export const PIECE = 2 ** 14;

export interface Answer {
  status: number;
  headers: Record<string, string | undefined>;
  body: Uint8Array;
}

export const answer = (status: number, headers: Answer['headers'] = {}, text = ''): Answer => ({
  status,
  headers,
  body: Buffer.from(text),
});

export const refusal = (status: number, code: string, message: string, headers: Answer['headers'] = {}): Answer =>
  answer(
    status,
    { 'X-Error-Code': code, 'X-Error-Message': message, 'Content-Type': 'text/plain; charset=utf-8', ...headers },
    message,
  );

/** The bytes of a file under the request's Range; `length` is what the file is claimed to have. */
export function fileAnswer(
  request: IncomingMessage,
  bytes: Uint8Array,
  etag: string,
  headers: Answer['headers'],
  ignoreRange = false,
): Answer {
  const whole = { ETag: `"${etag}"`, 'Accept-Ranges': 'bytes', 'Content-Type': 'application/octet-stream', ...headers };
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  const condition = request.headers['if-range'];
  if (!range || ignoreRange || (condition !== undefined && condition !== `"${etag}"`))
    return { status: 200, headers: whole, body: bytes };
  const start = Number(range[1]);
  const end = Math.min(range[2] ? Number(range[2]) + 1 : bytes.length, bytes.length);
  if (start >= end) return answer(416, { ...whole, 'Content-Range': `bytes */${bytes.length}` });
  return {
    status: 206,
    headers: { ...whole, 'Content-Range': `bytes ${start}-${end - 1}/${bytes.length}` },
    body: bytes.subarray(start, end),
  };
}

export function resized(bytes: Uint8Array, length: number): Uint8Array {
  const other = new Uint8Array(length).fill(7);
  other.set(bytes.subarray(0, length));
  return other;
}

/** One thing that goes wrong, in the next `times` (default 1) requests that it is for. */
export interface Fault {
  port?: Port;
  method?: 'HEAD' | 'GET';
  path?: RegExp;
  times?: number;
  /** Called when it strikes. */
  then?: () => void;
  /** This answer instead of the right one. */
  status?: number;
  /** Headers over the right ones; undefined takes one away. */
  headers?: Record<string, string | undefined>;
  /** A body instead of the right one, with its own length. */
  body?: string;
  /** The connection breaks after so many bytes of the body; 0 also loses the headers. */
  cut?: number;
  /** No answer at all, and no end. */
  hang?: boolean;
  /** Nothing more comes after so many bytes of the body. */
  stall?: number;
  /** Milliseconds between pieces of `piece` bytes. */
  trickle?: { piece: number; milliseconds: number };
  /** Right length, wrong bytes. */
  corrupt?: boolean;
  /**
   * The file is cut to, or padded to, so many bytes, and all headers of this port agree with that.
   */
  length?: number;
  /** 200 with the whole file, whatever range was asked for. */
  ignoreRange?: boolean;
}

export type Port = 'hub' | 'cdn';

// How the threads of a dispatch divide its work. Thread t of T takes items share(n, t, T) up to
// share(n, t + 1, T), each with as many as the others or one more.

/** The first of `count` items that are thread `thread`'s. */
// @ts-ignore: decorator
@inline export function share(count: i32, thread: i32, threads: i32): i32 {
  return <i32>((<i64>count * thread) / threads);
}

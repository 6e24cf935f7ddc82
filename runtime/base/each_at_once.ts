// Limited parallelism over a list.

/**
 * Calls `run` for every item, with at most `limit` calls running at the same time. Items are begun
 * in order. After the first failure no further item is begun, and that failure is thrown.
 */
export async function eachAtOnce<T>(
  items: readonly T[],
  limit: number,
  run: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < items.length) {
      try {
        await run(items[next++]!);
      } catch (error) {
        next = items.length;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
}

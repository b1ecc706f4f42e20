/**
 * Waits until `probe` answers something truthy, and answers that. Fails, with the last word, after `withinMs`: unless told
 * otherwise shortly before a test would be given up, for a machine that is busy takes ten times as long as an idle one.
 */
export async function eventually<T>(probe: () => T | Promise<T>, withinMs = 25_000): Promise<NonNullable<T>> {
  const deadline = performance.now() + withinMs
  for (;;) {
    const value = await probe()
    if (value) return value as NonNullable<T>
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${probe}`)
    await Bun.sleep(10)
  }
}

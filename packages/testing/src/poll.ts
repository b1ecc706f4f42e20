/** Waits until `probe` answers something truthy, and answers that. Fails, with the last word, after `withinMs`. */
export async function eventually<T>(probe: () => T | Promise<T>, withinMs = 10_000): Promise<NonNullable<T>> {
  const deadline = performance.now() + withinMs
  for (;;) {
    const value = await probe()
    if (value) return value as NonNullable<T>
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${probe}`)
    await Bun.sleep(10)
  }
}

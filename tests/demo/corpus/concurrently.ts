/** Does the work for each item, a given number at a time, in the order of the items. */
export async function concurrently<T>(most: number, items: T[], work: (item: T) => Promise<void>): Promise<void> {
  let next = 0
  const one = async () => {
    while (next < items.length) await work(items[next++]!)
  }
  await Promise.all(Array.from({ length: most }, one))
}

/** What a worker answers, or undefined where it doesn't in that time: one that hangs holds up nothing else. */
export async function within<T>(milliseconds: number, asked: Promise<T>): Promise<T | undefined> {
  const { promise, resolve } = Promise.withResolvers<undefined>()
  const timer = setTimeout(() => resolve(undefined), milliseconds)
  try {
    return await Promise.race([asked, promise])
  } finally {
    clearTimeout(timer)
  }
}

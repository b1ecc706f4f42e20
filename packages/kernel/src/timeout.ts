/** What `ask` answers, when it does within `ms`. Leaves no timer behind. @throws when it doesn't, and what it throws */
export async function answerWithin<T>(ms: number, ask: () => Promise<T>): Promise<T> {
  let timer: Timer | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms / 1000} s`)), ms)
  })
  try {
    return await Promise.race([ask(), late])
  } finally {
    clearTimeout(timer)
  }
}

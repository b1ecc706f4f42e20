/** How long to wait before the next try: doubles with each failure, with jitter, so that a crowd spreads out. */
export function backoff(failures: number, limits: { firstMs: number; longestMs: number }): number {
  const ceiling = Math.min(limits.longestMs, limits.firstMs * 2 ** Math.min(failures, 16))
  return ceiling / 2 + (Math.random() * ceiling) / 2
}

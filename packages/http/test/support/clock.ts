/** A clock that a test moves. */
export function testClock(start = Date.parse('2026-06-01T12:00:00.000Z')) {
  let at = start
  return {
    now: () => new Date(at),
    advance(ms: number) {
      at += ms
    },
  }
}

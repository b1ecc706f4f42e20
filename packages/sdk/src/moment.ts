/** When something was, by both clocks: one may be set anew, the other stand still while the device sleeps. */
export type Moment = { wallMs: number; steadyMs: number }

export const moment = (): Moment => ({ wallMs: Date.now(), steadyMs: performance.now() })

/** How many milliseconds ago it was, by the clock that has gone farther. */
export function since({ wallMs, steadyMs }: Moment): number {
  const now = moment()
  return Math.max(now.wallMs - wallMs, now.steadyMs - steadyMs)
}

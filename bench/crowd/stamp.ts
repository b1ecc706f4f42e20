// What is sent tells when: the milliseconds of a clock that all processes of the machine share, after a sign that
// nothing else in a frame has.
const SIGN = '~'
const DIGITS = 17
const SIGN_BYTE = SIGN.charCodeAt(0)
const POINT = '.'.charCodeAt(0)
const ZERO = '0'.charCodeAt(0)

/** Milliseconds, with fractions, since 1970. */
export const now = (): number => performance.timeOrigin + performance.now()

/** Content of a message of ordinary length that tells when it was made. */
export const stamped = (): string => `${SIGN}${now().toFixed(3)} ${'lorem ipsum dolor sit amet '.repeat(3)}`

/** When what lies there was made; undefined for what does not say. */
export function stampIn(data: Buffer, from: number, to: number): number | undefined {
  const at = data.indexOf(SIGN_BYTE, from)
  if (at < 0 || at + DIGITS >= to) return undefined
  let value = 0
  for (let i = at + 1; i <= at + DIGITS; i += 1) if (data[i] !== POINT) value = value * 10 + data[i]! - ZERO
  return value / 1000
}

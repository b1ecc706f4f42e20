import { generateSecret, generateURI, verifySync } from 'otplib'

const PERIOD_S = 30
// What every authenticator app assumes: SHA-1, six digits, thirty seconds. Many ignore it when a URI says otherwise.
const CODE = /^\d{6}$/

/** 160 bits in base32, as apps take it. */
export const newTotpSecret = (): string => generateSecret({ length: 20 })

/** For the QR code that an app reads. */
export const totpUri = (secret: string, { issuer, label }: { issuer: string; label: string }): string =>
  // The colon parts the two in the label, escaped or not.
  generateURI({ secret, issuer: issuer.replaceAll(':', ' '), label })

/** The code as it is typed: apps show it in two groups. */
export const totpCodeIn = (text: string): string | undefined => {
  const code = text.replace(/\s/g, '')
  return CODE.test(code) ? code : undefined
}

/** The time step that a code is for, of the one now and the ones beside it; undefined for a wrong code (RFC 6238, 5.2). */
export function totpStep(secret: string, code: string, now: Date): number | undefined {
  const epoch = Math.floor(now.getTime() / 1000)
  const result = verifySync({ strategy: 'totp', secret, token: code, epoch, epochTolerance: PERIOD_S })
  return result.valid && 'timeStep' in result ? result.timeStep : undefined
}

import { availableParallelism } from 'node:os'
import type { SlotLimits } from './slots.ts'

// OWASP's minimum for argon2id: 19 MiB, two passes, one lane (Bun's only). About 45 ms on one core of a small server.
const ARGON2ID = { algorithm: 'argon2id', memoryCost: 19_456, timeCost: 2 } as const

const MOST_AT_ONCE = 8

export const defaultPasswordLimits = (): SlotLimits => ({
  concurrency: Math.min(MOST_AT_ONCE, availableParallelism()),
  queue: 250,
})

// The same password typed on two keyboards may come as different code points (NIST SP 800-63B, 5.1.1.2).
const normalised = (password: string) => password.normalize('NFKC')

export const hashPassword = (password: string): Promise<string> => Bun.password.hash(normalised(password), ARGON2ID)

// Of a password that nobody knows, with the same cost as every other.
const DECOY =
  '$argon2id$v=19$m=19456,t=2,p=1$OPj/974y+w5alDPCr/xQewfmdVI5lFlDa0q2AUUmb8s$M42p9eVNb54s8dpZuzbK4zW2mLPc1XXm+cfP9G6DtpE'

/** Whether the password is right. Without a hash it takes as long as with one, and is wrong. */
export async function verifyPassword(password: string, hash: string | undefined): Promise<boolean> {
  const matches = await Bun.password.verify(normalised(password), hash ?? DECOY)
  return matches && hash !== undefined
}

import { createMemoryBus } from '@conntext/bus'
import { ACCESS_TOKEN_AUDIENCE, ACCESS_TOKEN_ISSUER, type Grant, type JsonWebKeySet } from '@conntext/contracts'
import { Guard, type GuardOptions } from '@conntext/http'
import { newId, silentLogger } from '@conntext/kernel'
import { exportJWK, generateKeyPair, jwtVerify, SignJWT } from 'jose'
import { type Bench, median, rate } from '../lib/result.ts'

type Keys = Awaited<ReturnType<typeof generateKeyPair>>

const OPTIONS = { algorithms: ['EdDSA'], issuer: ACCESS_TOKEN_ISSUER, audience: ACCESS_TOKEN_AUDIENCE }

/**
 * Requests let in per second by the guard that every service has: the first with a token, whose signature is checked,
 * and the later ones, which are remembered; each with the account's standing and the sessions that have ended. Against
 * bare `jose.jwtVerify` of the same tokens, one after the other in both.
 */
export const verify: Bench = async ({ quick }, report) => {
  const keys = await generateKeyPair('Ed25519', { extractable: true })
  const count = quick ? 2_000 : 8_000
  const rounds = { cold: [] as number[], warm: [] as number[], bare: [] as number[] }
  for (let round = 0; round < (quick ? 3 : 5); round += 1) {
    const tokens = await sign(keys, count)
    const guard = await startGuard(keys)
    const identify = async (token: string) => {
      if (!(await guard.identify(token))) throw new Error('a good token was refused')
    }
    rounds.cold.push(await perSecond(tokens, identify))
    rounds.warm.push(await perSecond(tokens, identify))
    rounds.bare.push(await perSecond(tokens, (token) => jwtVerify(token, keys.publicKey, OPTIONS)))
    await guard.stop()
  }
  const baselineOf = 'bare jose.jwtVerify with the key at hand'
  const bare = median(rounds.bare)
  report(rate('verify', 'tokens/s', median(rounds.cold), bare, { baselineOf, of: 'tokens seen for the first time' }))
  report(rate('verify_again', 'tokens/s', median(rounds.warm), bare, { baselineOf, of: 'tokens seen before' }))
}

async function perSecond(tokens: string[], work: (token: string) => Promise<unknown>): Promise<number> {
  const began = performance.now()
  for (const token of tokens) await work(token)
  return tokens.length / ((performance.now() - began) / 1000)
}

const sign = ({ privateKey }: Keys, count: number): Promise<string[]> =>
  Promise.all(
    Array.from({ length: count }, () =>
      new SignJWT({ sid: newId() })
        .setProtectedHeader({ alg: 'EdDSA', kid: 'bench' })
        .setSubject(newId())
        .setIssuer(ACCESS_TOKEN_ISSUER)
        .setAudience(ACCESS_TOKEN_AUDIENCE)
        .setIssuedAt()
        .setExpirationTime('5m')
        .sign(privateKey),
    ),
  )

async function startGuard({ publicKey }: Keys): Promise<Guard> {
  const { x } = await exportJWK(publicKey)
  const key = { kty: 'OKP', crv: 'Ed25519', x: x!, kid: 'bench', alg: 'EdDSA', use: 'sig' } as const
  const keySet: JsonWebKeySet = { keys: [key] }
  const auth: GuardOptions['auth'] = {
    keys: async () => keySet,
    grant: async ({ userId }) => memberGrant(userId),
    authority: () => Promise.reject(new Error('not asked for here')),
    revokedSessions: async () => ({ sessions: [] }),
    identifyToken: async () => null,
  }
  const guard = new Guard({ auth, bus: createMemoryBus(silentLogger), log: silentLogger })
  await guard.start()
  return guard
}

const memberGrant = (userId: string): Grant => ({
  userId,
  kind: 'user',
  standing: 'active',
  timedOutUntil: null,
  mfa: false,
  roleIds: [],
})

import { ACCESS_TOKEN_AUDIENCE, ACCESS_TOKEN_ISSUER, type JsonWebKeySet } from '@conntext/contracts'
import type { ServerDetails, ServerDetailsExecutor } from '@conntext/db-server-details'
import { answerWithin, type Clock, type Logger } from '@conntext/kernel'
import type { Keyring } from '@conntext/keyring'
import { jwt } from '@elysiajs/jwt'
import { insertSigningKey, listLivingSigningKeys, listPublicKeys, type SigningKeyRow } from './queries.ts'
import { ALGORITHM, LIFETIME_S, newSigningKey, signingKeyAt, signingKeyContext } from './signing-keys.ts'

/** How soon a running server knows of a key made elsewhere. */
const LOOK_EVERY_MS = 10_000
const LOOK_WITHIN_MS = 5_000

type Signer = { sign(claims: { sub: string; sid: string; exp: number }): Promise<string> }
type LoadedKey = { id: string; createdAt: Date; signer: Signer }
type Dependencies = { db: ServerDetails; keyring: Keyring; clock: Clock; log: Logger }

/**
 * Signs access tokens: JWTs of 5 minutes, Ed25519, with the key's id in the header. A key made by a rotation is taken
 * into use once it has been published for long enough.
 */
export class AccessTokens {
  #keys: LoadedKey[] = []
  #lookedAt = 0
  #looking: Promise<void> | undefined

  constructor(private readonly deps: Dependencies) {}

  /** Loads the signing keys, and makes one where there is none. */
  async load(tx: ServerDetailsExecutor): Promise<void> {
    const { clock, keyring } = this.deps
    const living = () => listLivingSigningKeys(tx, clock.now())
    if ((await living()).length === 0) await insertSigningKey(tx, await newSigningKey(keyring, clock.now()))
    await this.#take(await living())
  }

  async sign(identity: { userId: string; sessionId: string }): Promise<{ token: string; expiresAt: Date }> {
    const { clock } = this.deps
    if (clock.now().getTime() - this.#lookedAt > LOOK_EVERY_MS) await this.#look()
    const key = signingKeyAt(this.#keys, clock.now())
    if (!key) throw new Error('no signing key has been loaded')
    const exp = Math.floor(clock.now().getTime() / 1000) + LIFETIME_S
    const token = await key.signer.sign({ sub: identity.userId, sid: identity.sessionId, exp })
    return { token, expiresAt: new Date(exp * 1000) }
  }

  /** Takes up what has been made elsewhere; those who sign meanwhile wait for the same answer. */
  #look(): Promise<void> {
    const { db, clock, log } = this.deps
    this.#looking ??= answerWithin(LOOK_WITHIN_MS, () => listLivingSigningKeys(db, clock.now()))
      .then((rows) => this.#take(rows))
      .catch((error: unknown) => log.warn({ err: error }, 'new signing keys could not be looked for'))
      .finally(() => {
        this.#looking = undefined
      })
    return this.#looking
  }

  async #take(rows: SigningKeyRow[]): Promise<void> {
    this.#keys = await Promise.all(
      rows.map(async (row) => this.#keys.find(({ id }) => id === row.id) ?? (await this.#open(row))),
    )
    this.#lookedAt = this.deps.clock.now().getTime()
  }

  // The plugin is made for a key that is known when routes are declared. Ours is in the database, and is known once the
  // service starts, so its decorator is used by itself.
  async #open({ id, createdAt, privateKey, dataKeyId }: SigningKeyRow): Promise<LoadedKey> {
    const opened = await this.deps.keyring.open({ dataKeyId, sealed: privateKey }, signingKeyContext(id))
    const secret = await crypto.subtle.importKey('pkcs8', new Uint8Array(opened), ALGORITHM, false, ['sign'])
    const claims = { iss: ACCESS_TOKEN_ISSUER, aud: ACCESS_TOKEN_AUDIENCE }
    const { accessTokens } = jwt({ name: 'accessTokens', secret, alg: 'EdDSA', kid: id, ...claims }).decorator
    return { id, createdAt, signer: accessTokens }
  }
}

/** Every key that a token which is still good may have been signed with, or the next ones will be. */
export async function jsonWebKeySet(db: ServerDetailsExecutor, now: Date): Promise<JsonWebKeySet> {
  const keys = await listPublicKeys(db, new Date(now.getTime() - LIFETIME_S * 1000))
  return {
    keys: keys.map((key) => ({
      kty: 'OKP',
      crv: 'Ed25519',
      x: key.publicKey,
      kid: key.id,
      alg: 'EdDSA',
      use: 'sig',
    })),
  }
}

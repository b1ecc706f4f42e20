import { ACCESS_TOKEN_AUDIENCE, ACCESS_TOKEN_ISSUER, type JsonWebKeySet } from '@conntext/contracts'
import type { ServerDetailsExecutor } from '@conntext/db-server-details'
import { type Clock, newId } from '@conntext/kernel'
import type { Keyring } from '@conntext/keyring'
import { jwt } from '@elysiajs/jwt'
import { insertSigningKey, listLivingSigningKeys, listPublicKeys } from './queries.ts'

const LIFETIME_S = 5 * 60
const ALGORITHM = 'Ed25519'

type Signer = { sign(claims: { sub: string; sid: string; exp: number }): Promise<string> }

/** Signs access tokens: JWTs of 5 minutes, Ed25519, with the key's id in the header. */
export class AccessTokens {
  #signer: Signer | undefined

  constructor(private readonly clock: Clock) {}

  /** Takes the newest signing key that isn't retired into use, and makes one where there is none. */
  async load(tx: ServerDetailsExecutor, keyring: Keyring): Promise<void> {
    const newest = (await listLivingSigningKeys(tx)).at(-1)
    if (!newest) return this.#make(tx, keyring)
    const sealed = { dataKeyId: newest.dataKeyId, sealed: newest.privateKey }
    await this.#use(newest.id, await keyring.open(sealed, sealContext(newest.id)))
  }

  async sign(identity: { userId: string; sessionId: string }): Promise<{ token: string; expiresAt: Date }> {
    if (!this.#signer) throw new Error('no signing key has been loaded')
    const exp = Math.floor(this.clock.now().getTime() / 1000) + LIFETIME_S
    const token = await this.#signer.sign({ sub: identity.userId, sid: identity.sessionId, exp })
    return { token, expiresAt: new Date(exp * 1000) }
  }

  async #make(tx: ServerDetailsExecutor, keyring: Keyring): Promise<void> {
    const pair = (await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])) as CryptoKeyPair
    const privateKey = new Uint8Array(await crypto.subtle.exportKey('pkcs8', pair.privateKey))
    const { x } = await crypto.subtle.exportKey('jwk', pair.publicKey)
    const id = newId()
    const { dataKeyId, sealed } = keyring.seal(privateKey, sealContext(id))
    await insertSigningKey(tx, { id, publicKey: x!, privateKey: sealed, dataKeyId })
    await this.#use(id, privateKey)
  }

  // The plugin is made for a key that is known when routes are declared. Ours is in the database, and is known once the
  // service starts, so its decorator is used by itself.
  async #use(kid: string, privateKey: Uint8Array): Promise<void> {
    const secret = await crypto.subtle.importKey('pkcs8', privateKey.slice(), ALGORITHM, false, ['sign'])
    const claims = { iss: ACCESS_TOKEN_ISSUER, aud: ACCESS_TOKEN_AUDIENCE }
    this.#signer = jwt({ name: 'accessTokens', secret, alg: 'EdDSA', kid, ...claims }).decorator.accessTokens
  }
}

const sealContext = (id: string) => `signing-key:${id}`

/** Every key that a token may have been signed with. */
export async function jsonWebKeySet(db: ServerDetailsExecutor): Promise<JsonWebKeySet> {
  const keys = await listPublicKeys(db)
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

import type {
  PasskeyCreationOptions,
  PasskeyLoginResponse,
  PasskeyRegistrationResponse,
  PasskeyRequestOptions,
} from '@conntext/contracts'
import { randomToken } from '@conntext/kernel'
import {
  type AuthenticationResponseJSON,
  type RegistrationResponseJSON,
  verifyAuthenticationResponse,
  verifyRegistrationResponse,
} from '@simplewebauthn/server'
import type { PasskeyRow } from './queries.ts'

/** Where passkeys belong: the domain that they are bound to, and the origins of the pages that may use them. */
export type WebAuthnSettings = { rpId: string; origins: string[] }

/** What may be told besides the public URL; without a domain it is that URL's host. */
export type WebAuthnOptions = { rpId?: string | undefined; origins?: string[] | undefined }

export const webAuthnSettings = (
  publicUrl: string,
  { rpId = new URL(publicUrl).hostname, origins = [] }: WebAuthnOptions = {},
): WebAuthnSettings => ({ rpId, origins: [publicUrl, ...origins].map(asBrowsersSay) })

// Lower case and without a default port. An Android app's is no URL, and stays as it is.
const asBrowsersSay = (origin: string): string => (/^https?:/i.test(origin) ? new URL(origin).origin : origin)

/** How long a ceremony may take. */
export const CEREMONY_MS = 5 * 60_000

// EdDSA, ES256, RS256: what authenticators in use have among them one of.
const ALGORITHMS = [-8, -7, -257]

/** What a ceremony's token carries. */
export type Ceremony = { challenge: string }

type Credential = Pick<PasskeyRow, 'credentialId' | 'transports'>
type Person = { id: string; username: string; displayName: string | null }

const base64url = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64url')

/** An account in the authenticator's memory: its id, which says nothing about who it is. */
export const userHandle = (userId: string): string =>
  Buffer.from(userId.replaceAll('-', ''), 'hex').toString('base64url')

const descriptor = ({ credentialId, transports }: Credential) => ({
  id: base64url(credentialId),
  type: 'public-key' as const,
  transports,
})

const newChallenge = () => randomToken()

/** Each account has one passkey on an authenticator: `present` are those that it has. */
export const creationOptions = (
  { rpId }: WebAuthnSettings,
  { serverName, person, present }: { serverName: string; person: Person; present: Credential[] },
): PasskeyCreationOptions => ({
  rp: { id: rpId, name: serverName },
  user: {
    id: userHandle(person.id),
    name: person.username,
    displayName: person.displayName ?? person.username,
  },
  challenge: newChallenge(),
  pubKeyCredParams: ALGORITHMS.map((alg) => ({ type: 'public-key', alg })),
  timeout: CEREMONY_MS,
  excludeCredentials: present.map(descriptor),
  // Preferred: a security key that has no memory for accounts, or no way to know its owner, still does beside a password.
  authenticatorSelection: { residentKey: 'preferred', userVerification: 'preferred' },
  attestation: 'none',
  extensions: { credProps: true },
})

/** Without credentials the authenticator offers those it remembers, and must know its owner: it is all there is. */
export const requestOptions = ({ rpId }: WebAuthnSettings, allowed?: Credential[]): PasskeyRequestOptions => ({
  challenge: newChallenge(),
  rpId,
  timeout: CEREMONY_MS,
  allowCredentials: (allowed ?? []).map(descriptor),
  userVerification: allowed === undefined ? 'required' : 'preferred',
})

/** What an authenticator said at its registration, verified. @throws when it is not to be believed, and why */
export async function verifyRegistration(
  { rpId, origins }: WebAuthnSettings,
  { challenge }: Ceremony,
  response: PasskeyRegistrationResponse,
) {
  const verified = await verifyRegistrationResponse({
    response: response as RegistrationResponseJSON,
    expectedChallenge: challenge,
    expectedOrigin: origins,
    expectedRPID: rpId,
    requireUserVerification: false,
    supportedAlgorithmIDs: ALGORITHMS,
  })
  if (!verified.verified) throw new Error('the attestation is not right')
  const { credential, credentialDeviceType, credentialBackedUp } = verified.registrationInfo
  return {
    credentialId: Buffer.from(credential.id, 'base64url'),
    publicKey: credential.publicKey,
    counter: credential.counter,
    transports: response.response.transports ?? [],
    deviceType: credentialDeviceType,
    backedUp: credentialBackedUp,
  }
}

/** What an authenticator said at a login, verified but for its counter. @throws when it is not to be believed, and why */
export async function verifyLogin(
  { rpId, origins }: WebAuthnSettings,
  { challenge }: Ceremony,
  {
    response,
    passkey,
    userVerification,
  }: {
    response: PasskeyLoginResponse
    passkey: Pick<PasskeyRow, 'credentialId' | 'publicKey'>
    userVerification: boolean
  },
): Promise<{ counter: number; backedUp: boolean }> {
  const { verified, authenticationInfo } = await verifyAuthenticationResponse({
    response: response as AuthenticationResponseJSON,
    expectedChallenge: challenge,
    expectedOrigin: origins,
    expectedRPID: rpId,
    credential: {
      id: base64url(passkey.credentialId),
      publicKey: new Uint8Array(passkey.publicKey),
      // Compared where the use is noted, so that two at once can't both pass.
      counter: 0,
    },
    requireUserVerification: userVerification,
  })
  if (!verified) throw new Error('the signature is not right')
  return { counter: authenticationInfo.newCounter, backedUp: authenticationInfo.credentialBackedUp }
}

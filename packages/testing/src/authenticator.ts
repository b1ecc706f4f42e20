import './cbor-on-bun.ts'
import type { PasskeyCreationOptions, PasskeyRequestOptions } from '@conntext/contracts'
import {
  AuthenticatorEmulator,
  type AuthenticatorParameters,
  PasskeysCredentialsMemoryRepository,
  WebAuthnEmulator,
} from 'nid-webauthn-emulator'

/** The page that the tests' passkeys are used on. */
export const ORIGIN = 'http://localhost:8080'

/** An authenticator of another make, and a browser around it. */
export function authenticator(parameters: Partial<AuthenticatorParameters> = {}, origin = ORIGIN) {
  const memory = parameters.credentialsRepository ?? new PasskeysCredentialsMemoryRepository()
  const browser = new WebAuthnEmulator(new AuthenticatorEmulator({ ...parameters, credentialsRepository: memory }))
  return {
    create: (options: PasskeyCreationOptions) => browser.createJSON(origin, options),
    get: (options: PasskeyRequestOptions) => browser.getJSON(origin, options),
    /** Another one with the same secrets, as they are now. */
    copy(changed: Partial<AuthenticatorParameters> = {}, at = origin) {
      const copied = new PasskeysCredentialsMemoryRepository()
      for (const credential of memory.loadCredentials()) copied.saveCredential(credential)
      return authenticator({ ...parameters, ...changed, credentialsRepository: copied }, at)
    },
  }
}
export type Authenticator = ReturnType<typeof authenticator>

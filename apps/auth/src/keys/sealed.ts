import {
  authOutbox,
  dataKeys,
  oidcProviders,
  sessions,
  signingKeys,
  totpSecrets,
  validationTokens,
} from '@conntext/db-server-details'
import { type SealedPlaces, sealedColumn } from '@conntext/keyring'
import { totpContext } from '../mfa/codes.ts'
import { clientSecretContext } from '../oidc/providers.ts'
import { metadataContext } from '../sessions/service.ts'
import { tokenDataContext } from '../validation/tokens.ts'
import { signingKeyContext } from './signing-keys.ts'

export const authKeys = { table: dataKeys, service: 'auth' }

/** Everything that auth has sealed under its data keys. */
export const authSealed: SealedPlaces = {
  columns: [
    sealedColumn({
      table: sessions,
      id: sessions.id,
      value: sessions.metadata,
      dataKeyId: sessions.dataKeyId,
      context: metadataContext,
    }),
    sealedColumn({
      table: signingKeys,
      id: signingKeys.id,
      value: signingKeys.privateKey,
      dataKeyId: signingKeys.dataKeyId,
      context: signingKeyContext,
    }),
    sealedColumn({
      table: validationTokens,
      id: validationTokens.hash,
      value: validationTokens.data,
      dataKeyId: validationTokens.dataKeyId,
      context: tokenDataContext,
    }),
    sealedColumn({
      table: totpSecrets,
      id: totpSecrets.userId,
      value: totpSecrets.secret,
      dataKeyId: totpSecrets.dataKeyId,
      context: totpContext,
    }),
    sealedColumn({
      table: oidcProviders,
      id: oidcProviders.id,
      value: oidcProviders.clientSecret,
      dataKeyId: oidcProviders.dataKeyId,
      context: clientSecretContext,
    }),
  ],
  documents: [authOutbox.payload],
}

import { StartError } from '@conntext/kernel'
import { Keyring, type KeyringOptions } from './keyring.ts'
import { listDataKeys } from './queries.ts'

/**
 * The keyring of a service that has been set up, for a command beside it.
 * @throws StartError when there are no keys yet, or the master key doesn't open them
 */
export async function openKeyring(options: KeyringOptions): Promise<Keyring> {
  const { db, table, service } = options
  if ((await listDataKeys(db, table)).length === 0) {
    throw new StartError(`The service ${service} has no keys yet: start the server once first.`)
  }
  const keyring = new Keyring(options)
  await keyring.load(db)
  return keyring
}

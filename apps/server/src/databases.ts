import { createDatabase } from '@conntext/database'
import { COMMUNICATIONS, migrateCommunications, provisionCommunications } from '@conntext/db-communications'
import { migrateServerDetails, provisionServerDetails, SERVER_DETAILS } from '@conntext/db-server-details'

/** Each service's own, of its user in Postgres. */
export type DatabasePasswords = Record<'auth' | 'system' | 'messaging' | 'realtime', string> & {
  /** Without one there is nobody who may read everything. */
  backup: string | undefined
}

/** Makes the same user's URLs of other databases out of one. */
export const urlBeside =
  (url: string) =>
  (database: string): string =>
    Object.assign(new URL(url), { pathname: `/${database}` }).href

/** Makes the databases where they are missing. `admin` is a superuser's URL. */
export async function makeDatabases(admin: string): Promise<void> {
  for (const name of [SERVER_DETAILS, COMMUNICATIONS]) await createDatabase(admin, name)
}

/**
 * Brings the schemas up to date, and gives each service's user its password and rights. May be repeated, and run by two
 * at once. `url` makes a superuser's URL of a database.
 */
export async function prepareDatabases(url: (database: string) => string, passwords: DatabasePasswords): Promise<void> {
  const [serverDetails, communications] = [url(SERVER_DETAILS), url(COMMUNICATIONS)]
  await Promise.all([migrateServerDetails(serverDetails), migrateCommunications(communications)])
  await provisionServerDetails(serverDetails, passwords)
  await provisionCommunications(communications, passwords)
}

import type { KnownMigrations } from '@conntext/backup'
import { auditMigrations } from '@conntext/db-audit'
import { knownCommunicationsMigrations } from '@conntext/db-communications'
import { knownServerDetailsMigrations } from '@conntext/db-server-details'

/** The schemas that this release knows. */
export const known: KnownMigrations = {
  communications: knownCommunicationsMigrations(),
  serverDetails: knownServerDetailsMigrations(),
  audit: auditMigrations.map(({ version }) => version),
}

import { existsSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { messages } from '@conntext/db-communications'
import { desc, sql } from 'drizzle-orm'
import type { Place } from '../place.ts'
import { type Check, fault, ok, warning } from './finding.ts'

const MUCH_MS = 60_000

/** Everything that is sealed is opened with it. */
export const masterKey = (path: string): Check => ({
  about: 'master key',
  async run() {
    const file = join(path, 'secrets', 'master-key')
    if (!existsSync(file)) {
      return fault(
        `${file} is missing`,
        'Put it back from your backup: without it nothing that is sealed can be opened.',
      )
    }
    const mode = (await stat(file)).mode & 0o777
    if ((mode & 0o077) !== 0) return fault(`${file} can be read by other accounts`, `Run: chmod 600 ${file}`)
    return ok('there, and for this account alone')
  },
})

export const postgres = ({ db, running }: Place): Check => ({
  about: 'Postgres',
  async run() {
    const rows = await db.execute(sql`select split_part(version(), ' ', 2) as version,
      pg_size_pretty(sum(pg_database_size(oid))) as size from pg_database where not datistemplate`)
    const { version, size } = rows[0] as { version: string; size: string }
    return ok(`${version}, ${size}, ${running ? 'that of the running server' : 'started for this look'}`)
  },
})

/** Ids tell when they were made: none is from the future, unless the clock has gone back since. */
export const newestMessage = (place: Place): Check => ({
  about: 'order of time',
  async run() {
    await using communications = await place.openCommunications()
    const [newest] = await communications.db
      .select({ id: messages.id })
      .from(messages)
      .orderBy(desc(messages.id))
      .limit(1)
    if (!newest) return ok('nothing has been written yet')
    const ahead = Number.parseInt(newest.id.replaceAll('-', '').slice(0, 12), 16) - Date.now()
    if (ahead <= MUCH_MS) return ok('nothing stored is from the future')
    return warning(
      `the newest message is ${Math.round(ahead / 1000)} s in the future`,
      'The clock has gone back, or was wrong when it was written: set it right.',
    )
  },
})

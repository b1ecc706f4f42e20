import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createDatabase } from '@conntext/database'
import { migrateAudit } from '@conntext/db-audit'
import { migrateCommunications, provisionCommunications } from '@conntext/db-communications'
import { migrateServerDetails, provisionServerDetails } from '@conntext/db-server-details'
import { startClickHouse, startPostgres } from '@conntext/embedded'
import { randomToken, silentLogger } from '@conntext/kernel'
import { shareRadosgw } from './object-storage.ts'

/** Where the stores of a test run are; what tests clone and share. */
export type SharedStores = {
  /** Named `CONNTEXT_TEST_…`, for the environment of the tests' processes. */
  env: Record<string, string>
  stop(): Promise<void>
}

export const TEMPLATES = {
  serverDetails: 'template_server_details',
  communications: 'template_communications',
  audit: 'template_audit',
}

/** One password for all the services' users: these databases live as long as the run, on loopback. */
export const TEST_PASSWORD = 'test'

/**
 * Starts one real Postgres and one real ClickHouse engine for a whole test run, in a directory that is thrown away,
 * with the migrated databases that each test clones. With `s3`, an S3 server too, where the machine has one.
 */
export async function startSharedStores({ s3 = false } = {}): Promise<SharedStores> {
  const directory = await mkdtemp(join(tmpdir(), 'conntext-test-'))
  removeAfterwards(directory)
  const s3File = join(directory, 's3.json')
  // Not waited for: whoever needs it does.
  const radosgw = s3 ? shareRadosgw(s3File) : undefined
  const password = randomToken()
  const postgres = await startPostgres({
    directory: join(directory, 'postgres'),
    superuserPassword: password,
    durability: 'none',
    // Passwords that everybody may know need no thousands of rounds at every connection.
    settings: { max_connections: '300', scram_iterations: 1 },
  })
  const clickhouse = await startClickHouse({ directory: join(directory, 'clickhouse'), user: 'conntext', password })
  const audit = { url: clickhouse.url, username: 'conntext', password, database: TEMPLATES.audit, log: silentLogger }
  await Promise.all([makeTemplates(postgres.url), migrateAudit(audit)])
  return {
    env: {
      CONNTEXT_TEST_POSTGRES: postgres.url('postgres'),
      CONNTEXT_TEST_CLICKHOUSE: clickhouse.url,
      CONNTEXT_TEST_CLICKHOUSE_USER: 'conntext',
      CONNTEXT_TEST_CLICKHOUSE_PASSWORD: password,
      ...(radosgw && { CONNTEXT_TEST_S3: s3File }),
    },
    async stop() {
      await Promise.all([postgres.stop(), clickhouse.stop(), radosgw?.then((server) => server?.stop())])
      await rm(directory, { recursive: true, force: true })
    },
  }
}

// Waits for this process's end, however it comes (the pipe closes), then for Postgres's, which ends with it.
const REMOVE = `cat >/dev/null
tries=0
while [ -e "$1/postgres/postmaster.pid" ] && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
rm -rf "$1"`

/** Removes the directory once this process is gone: `bun test` runs no exit handlers. */
export function removeAfterwards(directory: string): void {
  const command = ['/bin/sh', '-c', REMOVE, 'sh', directory]
  Bun.spawn(command, { stdio: ['pipe', 'ignore', 'ignore'], detached: true }).unref()
}

async function makeTemplates(url: (database: string) => string): Promise<void> {
  await createDatabase(url('postgres'), TEMPLATES.serverDetails)
  await createDatabase(url('postgres'), TEMPLATES.communications)
  const serverDetails = url(TEMPLATES.serverDetails)
  const communications = url(TEMPLATES.communications)
  await Promise.all([migrateServerDetails(serverDetails), migrateCommunications(communications)])
  await provisionServerDetails(serverDetails, { auth: TEST_PASSWORD, system: TEST_PASSWORD })
  await provisionCommunications(communications, { messaging: TEST_PASSWORD, realtime: TEST_PASSWORD })
}

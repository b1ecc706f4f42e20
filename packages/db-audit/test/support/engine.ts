import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startClickHouse } from '@conntext/embedded'
import { newId, silentLogger } from '@conntext/kernel'
import type { AuditConnection } from '../../src/client.ts'

const { CONNTEXT_TEST_CLICKHOUSE: url } = process.env

/** The run's engine where there is one, else one of this file's own. */
export async function startEngine() {
  if (url !== undefined) {
    const username = process.env.CONNTEXT_TEST_CLICKHOUSE_USER ?? ''
    const password = process.env.CONNTEXT_TEST_CLICKHOUSE_PASSWORD ?? ''
    return { server: { url, username, password }, stop: async () => {} }
  }
  const directory = await mkdtemp(join(tmpdir(), 'conntext-audit-'))
  const engine = await startClickHouse({ directory, user: 'conntext', password: 'test' })
  return {
    server: { url: engine.url, username: engine.user, password: engine.password },
    async stop() {
      await engine.stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** A connection to a database that doesn't exist yet. */
export const newDatabase = (server: { url: string; username: string; password: string }): AuditConnection => ({
  ...server,
  database: `t_${newId().replaceAll('-', '')}`,
  log: silentLogger,
})

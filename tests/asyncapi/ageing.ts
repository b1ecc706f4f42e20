import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startPostgres } from '@conntext/embedded'
import postgres from 'postgres'

/** Makes all messages of a stopped server so many days older. */
export async function ageMessages(data: string, days: number): Promise<void> {
  const superuserPassword = (await readFile(join(data, 'secrets', 'postgres-password'), 'utf8')).trim()
  const engine = await startPostgres({ directory: join(data, 'postgres'), superuserPassword })
  const sql = postgres(engine.url('communications'), { max: 1, onnotice: () => {} })
  try {
    await sql`update messages set created_at = created_at - make_interval(days => ${days})`
  } finally {
    await sql.end()
    await engine.stop()
  }
}

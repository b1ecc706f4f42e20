import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import postgres from 'postgres'

/** The running server's own engine, as its superuser. */
export async function superuser(data: string, database = 'server_details') {
  const password = (await readFile(join(data, 'secrets', 'postgres-password'), 'utf8')).trim()
  const port = Number((await readFile(join(data, 'postgres', 'postmaster.pid'), 'utf8')).split('\n')[3])
  const sql = postgres({ host: '127.0.0.1', port, username: 'postgres', password, database, max: 1 })
  return Object.assign(sql, { [Symbol.asyncDispose]: () => sql.end() })
}

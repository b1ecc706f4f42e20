import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import postgres from 'postgres'

/** What `createBaseline` makes. */
export const BASELINE = 'bench_baseline'

/** The server's own engine, as its superuser, found the way an operator would: in the data directory. */
export async function openPostgres(data: string, database: string, max: number): Promise<postgres.Sql> {
  const password = (await readFile(join(data, 'secrets', 'postgres-password'), 'utf8')).trim()
  const pid = await readFile(join(data, 'postgres', 'postmaster.pid'), 'utf8')
  const port = Number(pid.split('\n')[3])
  return postgres({ host: '127.0.0.1', port, username: 'postgres', password, database, max, onnotice: () => {} })
}

/** A database of the bench's own in the server's engine, for what the server is measured against. */
export async function createBaseline(data: string, max: number): Promise<postgres.Sql> {
  const admin = await openPostgres(data, 'postgres', 1)
  await admin`create database ${admin(BASELINE)}`
  await admin.end()
  return openPostgres(data, BASELINE, max)
}

import { availableParallelism } from 'node:os'
import { register, unwrap, updateServer } from '@conntext/sdk'
import { openPostgres } from '../lib/postgres.ts'
import { type Bench, median, rate } from '../lib/result.ts'
import { startBenchServer } from '../lib/server.ts'

const PASSWORD = 'a-long-enough-password'

/**
 * Logins per second through the gateway of a real server, each with a new session of its own, against bare
 * `Bun.password.verify` of the very same hash, as many at once.
 */
export const login: Bench = async ({ quick }, report) => {
  await using bench = await startBenchServer()
  const { client } = bench.api
  const concurrency = 2 * availableParallelism()
  const names = Array.from({ length: concurrency }, (_, i) => `person-${i}`)
  await unwrap(updateServer({ client, body: { registrationMode: 'open' } }))
  for (const username of names) await unwrap(register({ client, body: { username, password: PASSWORD } }))
  const hash = await hashOf(bench.server.data, names[0]!)
  const ours = async (name: string) => {
    const answer = await fetch(`${bench.server.url}/v1/auth/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ login: name, password: PASSWORD }),
    })
    await answer.arrayBuffer()
    if (!answer.ok) throw new Error(`a login was answered with ${answer.status}`)
  }
  const bare = async () => {
    if (!(await Bun.password.verify(PASSWORD, hash))) throw new Error('the baseline has another password')
  }
  const seconds = quick ? 2 : 5
  await perSecond(names, ours, 1)
  await perSecond(names, bare, 1)
  const rounds = { ours: [] as number[], bare: [] as number[] }
  for (let round = 0; round < (quick ? 2 : 4); round += 1) {
    rounds.ours.push(await perSecond(names, ours, seconds))
    rounds.bare.push(await perSecond(names, bare, seconds))
  }
  report(
    rate('login', 'logins/s', median(rounds.ours), median(rounds.bare), {
      baselineOf: 'bare Bun.password.verify of the same hash',
      concurrency,
      cost: /^\$argon2id\$v=\d+\$([^$]+)\$/.exec(hash)?.[1],
    }),
  )
}

/** For each name one at a time, all names at once. */
async function perSecond(names: string[], work: (name: string) => Promise<void>, seconds: number): Promise<number> {
  const began = performance.now()
  const elapsed = () => (performance.now() - began) / 1000
  let done = 0
  const loop = async (name: string) => {
    while (elapsed() < seconds) {
      await work(name)
      done += 1
    }
  }
  await Promise.all(names.map(loop))
  return done / elapsed()
}

async function hashOf(data: string, username: string): Promise<string> {
  const sql = await openPostgres(data, 'server_details', 1)
  const [row] = await sql`select password_hash from credentials join users on id = user_id where username = ${username}`
  await sql.end()
  return row!.password_hash
}

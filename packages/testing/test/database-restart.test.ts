import { expect, test } from 'bun:test'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { isDatabaseAway, openDatabase } from '@conntext/database'
import { freePort } from '@conntext/embedded'
import { sql } from 'drizzle-orm'
import { testServerDetails } from '../src/index.ts'
import { asAdmin } from './support/sql.ts'

test.each([1, 2, 3])(
  'every statement under load ends when all connections break, and the pool goes on (%p)',
  async () => {
    await using databases = await testServerDetails()
    const name = `victim ${crypto.randomUUID()}`
    const db = openDatabase({}, { url: databases.adminUrl, poolSize: 4, applicationName: name })
    let going = true
    const failures: unknown[] = []
    const load = Array.from({ length: 16 }, async (_, i) => {
      while (going) await db.execute(sql`select ${i}::int`).catch((error) => failures.push(error))
    })
    await asAdmin(databases.adminUrl, async (admin) => {
      for (let i = 0; i < 10; i += 1) {
        await Bun.sleep(30)
        await admin`select pg_terminate_backend(pid) from pg_stat_activity where application_name = ${name}`
      }
    })
    going = false
    expect(await Promise.race([Promise.all(load).then(() => 'ended'), Bun.sleep(20_000).then(() => 'hangs')])).toBe(
      'ended',
    )
    expect(failures.filter((error) => !isDatabaseAway(error))).toEqual([])
    // A slot that is lost would keep its query for ever.
    const after = Promise.allSettled(Array.from({ length: 12 }, () => db.execute(sql`select pg_sleep(0.02)`)))
    expect(await Promise.race([after.then(() => 'ended'), Bun.sleep(20_000).then(() => 'hangs')])).toBe('ended')
    await Promise.all(Array.from({ length: 8 }, () => db.check()))
    await db.close()
  },
  60_000,
)

/** A way to the server that is closed until it is opened: `listen` may be called at any time, on the port it has. */
async function startDoor({ port: to, hostname }: URL) {
  const server = createServer((client) => {
    const upstream = connect(Number(to), hostname)
    for (const socket of [client, upstream]) socket.on('error', () => {})
    client.pipe(upstream).pipe(client)
  })
  const port = await freePort()
  return { port, open: () => once(server.listen(port, '127.0.0.1'), 'listening'), server }
}

test('while it is away statements fail soon, and once it is back they find it soon, however many failed', async () => {
  await using databases = await testServerDetails()
  const url = new URL(databases.adminUrl)
  const door = await startDoor(url)
  url.port = String(door.port)
  const db = openDatabase({}, { url: url.href, poolSize: 10, applicationName: 'outage' })
  const ask = () => db.execute(sql`select 1`)
  for (let i = 0; i < 3; i += 1) {
    const began = performance.now()
    const asked = await Promise.allSettled(Array.from({ length: 30 }, ask))
    for (const one of asked) expect(isDatabaseAway((one as PromiseRejectedResult).reason)).toBe(true)
    expect(performance.now() - began).toBeLessThan(10_000)
  }
  await door.open()
  const back = performance.now()
  await ask()
  expect(performance.now() - back).toBeLessThan(10_000)
  await db.close()
  door.server.close()
}, 60_000)

test('what listens hears at once that it can hear, and again after an interruption', async () => {
  await using databases = await testServerDetails()
  const name = `listener ${crypto.randomUUID()}`
  const db = openDatabase({}, { url: databases.adminUrl, poolSize: 2, applicationName: name })
  const heard: (string | undefined)[] = []
  let waiting = Promise.withResolvers<void>()
  const end = await db.listen('news', (payload) => {
    heard.push(payload)
    waiting.resolve()
  })
  const next = async () => {
    await waiting.promise
    waiting = Promise.withResolvers<void>()
    return heard.splice(0)
  }
  expect(await next()).toEqual([undefined])
  await db.execute(sql`select pg_notify('news', 'one')`)
  expect(await next()).toEqual(['one'])
  await asAdmin(databases.adminUrl, async (admin) => {
    await admin`select pg_terminate_backend(pid) from pg_stat_activity
      where application_name = ${name} and query like 'listen%'`
  })
  expect(await next()).toEqual([undefined])
  await db.execute(sql`select pg_notify('news', 'two')`)
  expect(await next()).toEqual(['two'])
  end()
  const other = Promise.withResolvers<string>()
  await db.listen('news', (payload) => void (payload && other.resolve(payload)))
  await db.execute(sql`select pg_notify('news', 'three')`)
  expect(await other.promise).toBe('three')
  expect(heard).toEqual([])
  await db.close()
})

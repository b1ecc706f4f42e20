import { expect, test } from 'bun:test'
import { isDatabaseAway, openDatabase } from '@conntext/database'
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
    expect(await Promise.race([Promise.all(load).then(() => 'ended'), Bun.sleep(5000).then(() => 'hangs')])).toBe(
      'ended',
    )
    expect(failures.filter((error) => !isDatabaseAway(error))).toEqual([])
    // A slot that is lost would keep its query for ever.
    const after = Promise.allSettled(Array.from({ length: 12 }, () => db.execute(sql`select pg_sleep(0.02)`)))
    expect(await Promise.race([after.then(() => 'ended'), Bun.sleep(5000).then(() => 'hangs')])).toBe('ended')
    await Promise.all(Array.from({ length: 8 }, () => db.check()))
    await db.close()
  },
)

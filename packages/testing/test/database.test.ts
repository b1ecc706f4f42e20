import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  createDatabase,
  isDatabaseAway,
  isForeignKeyViolation,
  isUniqueViolation,
  isUnstorableText,
  openDatabase,
  provisionUsers,
} from '@conntext/database'
import { migrateServerDetails, users } from '@conntext/db-server-details'
import { freePort, startPostgres } from '@conntext/embedded'
import { answerWithin, newId } from '@conntext/kernel'
import { sql } from 'drizzle-orm'
import { jsonb, pgTable, text, uuid } from 'drizzle-orm/pg-core'
import { storeEnvironment, testServerDetails } from '../src/index.ts'
import { asAdmin } from './support/sql.ts'

const thing = pgTable('thing', { id: uuid().primaryKey(), name: text().unique('thing_name'), data: jsonb() })

/** A database with one table, opened as the superuser through the code under test. */
async function start(poolSize = 5) {
  const databases = await testServerDetails()
  await asAdmin(
    databases.adminUrl,
    (admin) =>
      admin`create table thing (id uuid primary key, name text, data jsonb, constraint thing_name unique (name))`,
  )
  const db = openDatabase({ thing }, { url: databases.adminUrl, poolSize, applicationName: 'under test' })
  return {
    ...databases,
    db,
    names: async () => (await db.select({ name: thing.name }).from(thing)).map((row) => row.name).sort(),
    async [Symbol.asyncDispose]() {
      await db.close()
      await databases[Symbol.asyncDispose]()
    },
  }
}
const made = (name: string) => ({ id: newId(), name })

const failure = (running: PromiseLike<unknown>) =>
  running.then(
    () => {
      throw new Error('expected it to fail')
    },
    (error: unknown) => error,
  )

describe('statements', () => {
  test('are prepared, outside of transactions and within', async () => {
    await using it = await start(1)
    const statements = async () => {
      const rows = await it.db.execute(sql`select statement from pg_prepared_statements where statement like '%thing%'`)
      return (rows as unknown as { statement: string }[]).map((row) => row.statement)
    }
    await it.db.insert(thing).values(made('a'))
    expect(await statements()).toContainEqual(expect.stringContaining('insert into "thing"'))
    await it.db.transaction(async (tx) => {
      await tx.update(thing).set({ name: 'b' }).where(sql`${thing.name} = ${'a'}`)
      await tx.transaction((inner) => inner.delete(thing).where(sql`${thing.name} = ${'x'}`))
    })
    const found = (await statements()).join()
    expect(found).toContain('update "thing"')
    expect(found).toContain('delete from "thing"')
    expect(await it.names()).toEqual(['b'])
  })

  test('give the same answers when they are used again, with any number of parameters', async () => {
    await using it = await start(2)
    for (let n = 1; n <= 30; n += 1)
      await it.db.insert(thing).values(Array.from({ length: n % 7 || 1 }, (_, i) => made(`${n}-${i}`)))
    const rows = await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        it.db.transaction((tx) =>
          tx
            .select()
            .from(thing)
            .where(sql`${thing.name} = ${`${(i % 30) + 1}-0`}`),
        ),
      ),
    )
    expect(rows.every((one) => one.length === 1)).toBe(true)
  })

  test('that are many at once share the pool', async () => {
    await using it = await start(3)
    await Promise.all(
      Array.from({ length: 60 }, (_, i) => it.db.transaction((tx) => tx.insert(thing).values(made(`${i}`)))),
    )
    expect(await it.names()).toHaveLength(60)
  })
})

describe('a transaction', () => {
  test('commits all or nothing, a nested one by itself', async () => {
    await using it = await start()
    await it.db.transaction(async (tx) => {
      await tx.insert(thing).values(made('outer'))
      await tx
        .transaction(async (inner) => {
          await inner.insert(thing).values(made('inner'))
          throw new Error('only the inner one')
        })
        .catch(() => {})
      await tx.transaction((inner) => inner.insert(thing).values(made('second inner')))
    })
    await failure(
      it.db.transaction(async (tx) => {
        await tx.insert(thing).values(made('never'))
        throw new Error('all of it')
      }),
    )
    expect(await it.names()).toEqual(['outer', 'second inner'])
  })

  test('answers what its body answers, and throws what its body throws', async () => {
    await using it = await start()
    const own = new Error('own')
    expect(await it.db.transaction(async () => 42)).toBe(42)
    expect(await failure(it.db.transaction(() => Promise.reject(own)))).toBe(own)
  })

  const kill = async (it: { adminUrl: string }, pid: number) => {
    await asAdmin(it.adminUrl, (admin) => admin`select pg_terminate_backend(${pid}, 5000)`)
  }
  type Tx = Parameters<Parameters<Awaited<ReturnType<typeof start>>['db']['transaction']>[0]>[0]
  const pidOf = async (tx: Tx) => {
    const [row] = (await tx.execute(sql`select pg_backend_pid() as pid`)) as unknown as { pid: number }[]
    return row!.pid
  }

  test.each<[string, (tx: Tx, lose: () => Promise<void>) => Promise<unknown>]>([
    [
      'before a statement',
      async (tx, lose) => {
        await lose()
        await tx.insert(thing).values(made('lost'))
      },
    ],
    [
      'during a statement',
      async (tx, lose) => {
        await Promise.all([tx.execute(sql`select pg_sleep(5)`), lose()])
      },
    ],
    [
      'during a statement whose failure is swallowed',
      async (tx, lose) => {
        await Promise.all([tx.execute(sql`select pg_sleep(5)`).catch(() => {}), lose()])
        await tx.insert(thing).values(made('lost'))
      },
    ],
    ['before the commit', (_, lose) => lose()],
    [
      'before its body throws something else',
      async (_, lose) => {
        await lose()
        throw new Error('own')
      },
    ],
    [
      'in a nested one',
      (tx, lose) =>
        tx.transaction(async (inner) => {
          await lose()
          await inner.insert(thing).values(made('lost'))
        }),
    ],
  ])('whose connection breaks %s fails as away, leaves nothing, and the pool goes on', async (_, body) => {
    await using it = await start(2)
    // Somebody else is waiting for the connection all the time: what is left over would end up with them.
    let going = true
    const others: unknown[] = []
    const crowd = Array.from({ length: 4 }, async (_, n) => {
      for (let i = 0; going; i += 1) {
        const run = it.db.transaction((tx) => tx.insert(thing).values(made(`other ${n} ${i}`)))
        await run.catch((error) => others.push(error))
      }
    })
    const error = await failure(
      it.db.transaction(async (tx) => {
        const pid = await pidOf(tx)
        await tx.insert(thing).values(made('lost'))
        await body(tx, () => kill(it, pid))
      }),
    )
    expect(isDatabaseAway(error)).toBe(true)
    await Bun.sleep(100)
    going = false
    await Promise.all(crowd)
    expect(others.filter((one) => !isDatabaseAway(one))).toEqual([])
    expect(await it.names()).not.toContain('lost')
    expect(await Promise.all(Array.from({ length: 8 }, () => it.db.check()))).toHaveLength(8)
  })

  test('that a full disk refuses gives its connection back, like any other that fails', async () => {
    await using it = await start(1)
    const full = sql.raw("do $$ begin raise exception 'no space left' using errcode = 'disk_full'; end $$")
    for (let i = 0; i < 3; i += 1) {
      const refused = await failure(
        it.db.transaction(async (tx) => {
          await tx.insert(thing).values(made('never'))
          await tx.execute(full)
        }),
      )
      expect(isDatabaseAway(refused)).toBe(true)
    }
    expect(await answerWithin(2_000, () => it.names())).toEqual([])
    expect(it.db.wasFullLately()).toBe(true)
  })

  test('that has ended takes no more statements', async () => {
    await using it = await start()
    let kept: Tx | undefined
    await it.db.transaction(async (tx) => {
      kept = tx
    })
    await failure(kept!.insert(thing).values(made('late')))
    expect(await it.names()).toEqual([])
  })
})

describe('a refusal', () => {
  test('by a unique constraint is known, and which one it was; in a transaction too', async () => {
    await using it = await start()
    const row = made('a')
    await it.db.insert(thing).values(row)
    const byName = await failure(it.db.insert(thing).values(made('a')))
    const byId = await failure(it.db.transaction((tx) => tx.insert(thing).values({ ...row, name: 'b' })))
    expect([
      isUniqueViolation(byName),
      isUniqueViolation(byName, 'thing_name'),
      isUniqueViolation(byName, 'other'),
    ]).toEqual([true, true, false])
    expect([isUniqueViolation(byId), isUniqueViolation(byId, 'thing_name')]).toEqual([true, false])
    expect([isForeignKeyViolation(byName), isDatabaseAway(byName)]).toEqual([false, false])
  })

  test('by a foreign key is known', async () => {
    await using it = await start()
    await asAdmin(it.adminUrl, (admin) => admin`alter table thing add parent uuid references thing`)
    const error = await failure(it.db.execute(sql`insert into thing (id, parent) values (${newId()}, ${newId()})`))
    expect([isForeignKeyViolation(error), isUniqueViolation(error)]).toEqual([true, false])
  })

  test.each<[string, { name?: string; data?: unknown }]>([
    ['a NUL character in text', { name: 'a\u0000b' }],
    ['a NUL character in JSON', { data: { name: 'a\u0000b' } }],
    ['half a surrogate pair in JSON', { data: { name: '\ud800' } }],
  ])('of %s is known, and is no loss of the database', async (_, fields) => {
    await using it = await start()
    const error = await failure(it.db.insert(thing).values({ id: newId(), ...fields }))
    expect([isUnstorableText(error), isDatabaseAway(error)]).toEqual([true, false])
    expect(isUnstorableText(await failure(it.db.execute(sql`select ${'no uuid'}::uuid`)))).toBe(false)
  })

  test.each([undefined, null, 'text', new Error('x'), { code: 'ENOENT' }])('%p is none of them', (error) => {
    expect([isUniqueViolation, isForeignKeyViolation, isDatabaseAway, isUnstorableText].map((is) => is(error))).toEqual(
      [false, false, false, false],
    )
  })
})

describe('a database', () => {
  let directory: string
  let server: Awaited<ReturnType<typeof startPostgres>>
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'conntext-database-'))
    server = await startPostgres({ directory: join(directory, 'pg'), superuserPassword: 'test', durability: 'none' })
  })
  afterAll(async () => {
    await server.stop()
    await rm(directory, { recursive: true, force: true })
  })
  const open = (url: string) => openDatabase({}, { url, poolSize: 2, applicationName: 'test' })

  test('where nobody listens is away', async () => {
    const db = open(`postgres://postgres:test@127.0.0.1:${await freePort()}/postgres`)
    expect(isDatabaseAway(await failure(db.check()))).toBe(true)
    expect(isDatabaseAway(await failure(db.execute(sql`select 1`)))).toBe(true)
    expect(isDatabaseAway(await failure(db.transaction(async (tx) => tx.execute(sql`select 1`))))).toBe(true)
    await db.close()
  })

  test('at a name that nobody knows is away', async () => {
    const db = open('postgres://postgres:test@no-such-host.invalid:5432/postgres')
    expect(isDatabaseAway(await failure(db.check()))).toBe(true)
    await db.close()
  })

  test('that refuses the password is not away: that is for somebody to mend', async () => {
    const db = open(server.url('postgres').replace('test@', 'wrong@'))
    expect(isDatabaseAway(await failure(db.check()))).toBe(false)
    await db.close()
  })

  test('that stops under way is away, and is found again when it is back', async () => {
    const db = open(server.url('postgres'))
    await db.check()
    const sleeping = failure(db.execute(sql`select pg_sleep(30)`))
    const idle = failure(
      db.transaction(async (tx) => {
        await tx.execute(sql`select 1`)
        await stopped
        await tx.execute(sql`select 1`)
      }),
    )
    const stopped = Bun.sleep(50).then(() => server.stop())
    expect(isDatabaseAway(await sleeping)).toBe(true)
    expect(isDatabaseAway(await idle)).toBe(true)
    expect(isDatabaseAway(await failure(db.check()))).toBe(true)
    server = await startPostgres({
      directory: join(directory, 'pg'),
      superuserPassword: 'test',
      durability: 'none',
      port: server.port,
    })
    const back = async () => {
      const deadline = performance.now() + 20_000
      for (;;) {
        try {
          return await Promise.all([db.check(), db.check()])
        } catch (error) {
          if (!isDatabaseAway(error) || performance.now() > deadline) throw error
          await Bun.sleep(20)
        }
      }
    }
    expect(await back()).toHaveLength(2)
    expect(await db.transaction(async (tx) => tx.execute(sql`select 1 as one`))).toMatchObject([{ one: 1 }])
    await db.close()
  })
})

describe('migrations', () => {
  async function empty() {
    const { CONNTEXT_TEST_POSTGRES: url } = await storeEnvironment()
    const name = `t_${crypto.randomUUID().replaceAll('-', '')}`
    await createDatabase(url!, name)
    const own = Object.assign(new URL(url!), { pathname: `/${name}` }).href
    return {
      url: own,
      shape: () =>
        asAdmin(own, async (admin) => [
          await admin`select table_name, column_name, data_type, is_nullable from information_schema.columns where table_schema = 'public' order by 1, 2`,
          await admin`select indexdef from pg_indexes where schemaname = 'public' order by 1`,
          await admin`select count(*)::int as applied from drizzle.__drizzle_migrations`,
        ]),
      [Symbol.asyncDispose]: () =>
        asAdmin(url!, async (admin) => void (await admin`drop database ${admin(name)} with (force)`)),
    }
  }

  test('can be run again, and change nothing', async () => {
    await using it = await empty()
    await migrateServerDetails(it.url)
    const once = await it.shape()
    await migrateServerDetails(it.url)
    expect(await it.shape()).toEqual(once)
  })

  test('can be run by several at once', async () => {
    await using one = await empty()
    await using many = await empty()
    await migrateServerDetails(one.url)
    await Promise.all(Array.from({ length: 4 }, () => migrateServerDetails(many.url)))
    expect(await many.shape()).toEqual(await one.shape())
  })

  test('a database can be made by several at once', async () => {
    const { CONNTEXT_TEST_POSTGRES: url } = await storeEnvironment()
    const name = `t_${crypto.randomUUID().replaceAll('-', '')}`
    await Promise.all(Array.from({ length: 4 }, () => createDatabase(url!, name)))
    await asAdmin(url!, (admin) => admin`drop database ${admin(name)}`.execute())
  })

  test('a database can be made again, and is the same', async () => {
    await using it = await empty()
    await createDatabase(it.url, new URL(it.url).pathname.slice(1))
    await migrateServerDetails(it.url)
    expect((await it.shape())[0]!.length).toBeGreaterThan(50)
  })
})

describe('a provisioned user', () => {
  test('is the same in every database of an engine, also when several are provisioned at once', async () => {
    await using one = await start()
    await using other = await start()
    const users = [{ name: `u_${newId().replaceAll('-', '')}`, password: 'test', owns: ['thing'] }]
    const provision = (url: string) => provisionUsers({ url, users, secret: [] })
    for (let i = 0; i < 10; i += 1) await Promise.all([provision(one.adminUrl), provision(other.adminUrl)])
    for (const { adminUrl } of [one, other]) {
      await asAdmin(adminUrl, (admin) => admin`drop owned by ${admin(users[0]!.name)}`.execute())
    }
    await asAdmin(one.adminUrl, (admin) => admin`drop role ${admin(users[0]!.name)}`.execute())
  })

  test('gets a new password, and loses what it no longer owns, when provisioned again', async () => {
    await using it = await start()
    const name = `u_${newId().replaceAll('-', '')}`
    const provision = (password: string, owns: string[], secret: string[] = []) =>
      provisionUsers({ url: it.adminUrl, users: [{ name, password, owns }], secret })
    const as = (password: string) =>
      openDatabase(
        {},
        {
          url: Object.assign(new URL(it.adminUrl), { username: name, password }).href,
          poolSize: 1,
          applicationName: 'test',
        },
      )
    await provision("first'; drop table thing --", ['thing'])
    const first = as(encodeURIComponent("first'; drop table thing --"))
    await first.insert(thing).values(made('a'))
    await first.close()
    await Promise.all([provision('second', [], ['users']), provision('second', [], ['users'])])
    const old = as('first')
    await failure(old.check())
    await old.close()
    const second = as('second')
    expect(await second.select().from(thing)).toHaveLength(1)
    await failure(second.insert(thing).values(made('b')))
    await failure(second.select().from(users))
    await failure(second.execute(sql`create table mine (id int)`))
    await failure(second.execute(sql`create temporary table mine (id int)`))
    await second.close()
    await asAdmin(it.adminUrl, async (admin) => {
      await admin`drop owned by ${admin(name)}`
      await admin`drop role ${admin(name)}`
    })
  })
})

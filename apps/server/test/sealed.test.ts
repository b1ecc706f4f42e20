import { expect, test } from 'bun:test'
import { authSealed } from '@conntext/auth/admin'
import { systemSealed } from '@conntext/system/admin'
import { testServerDetails } from '@conntext/testing'
import { getTableName, sql } from 'drizzle-orm'

test('every table with sealed values is one that rotation knows of', async () => {
  await using database = await testServerDetails()
  const rows = (await database.auth.execute(
    sql`select relname as name from pg_attribute join pg_class on pg_class.oid = attrelid
        where attname = 'data_key_id' and relkind = 'r'`,
  )) as unknown as { name: string }[]
  const known = [...authSealed.columns, ...systemSealed.columns].map(({ table }) => getTableName(table))
  expect(known.toSorted()).toEqual(rows.map(({ name }) => name).toSorted())
})

test('and so is every outbox, whose rows may hold sealed values', async () => {
  await using database = await testServerDetails()
  const rows = (await database.auth.execute(
    sql`select relname as name from pg_class where relkind = 'r' and relname like '%\_outbox'`,
  )) as unknown as { name: string }[]
  const known = [...authSealed.documents, ...systemSealed.documents].map(({ table }) => getTableName(table))
  expect(known.toSorted()).toEqual(rows.map(({ name }) => name).toSorted())
})

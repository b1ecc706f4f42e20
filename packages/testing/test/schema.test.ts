import { expect, test } from 'bun:test'
import * as communications from '@conntext/db-communications'
import * as serverDetails from '@conntext/db-server-details'
import { is } from 'drizzle-orm'
import { getTableConfig, PgTable } from 'drizzle-orm/pg-core'
import { testCommunications, testServerDetails } from '../src/index.ts'
import { asAdmin } from './support/sql.ts'

// The packages' own tests hold schema and snapshots together; here it is what the SQL of the migrations really makes.
const inCode = (schema: object) =>
  Object.values(schema)
    .filter((one): one is PgTable => is(one, PgTable))
    .flatMap((table) => {
      const { name, columns, indexes } = getTableConfig(table)
      return [
        ...columns.map((column) => `${name}.${column.name} ${column.getSQLType()}${column.notNull ? ' not null' : ''}`),
        ...indexes.map((index) => `index ${index.config.name}${index.config.unique ? ' unique' : ''}`),
      ]
    })
    .sort()

const inDatabase = (url: string) =>
  asAdmin(url, async (admin) => {
    const columns = await admin`
      select c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
        || case when a.attnotnull then ' not null' else '' end as line
      from pg_attribute a join pg_class c on c.oid = a.attrelid
      where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace and a.attnum > 0 and not a.attisdropped`
    const indexes = await admin`
      select 'index ' || c.relname || case when i.indisunique then ' unique' else '' end as line
      from pg_index i join pg_class c on c.oid = i.indexrelid
      where c.relnamespace = 'public'::regnamespace
        and not exists (select 1 from pg_constraint k where k.conindid = i.indexrelid)`
    return [...columns, ...indexes].map((row) => (row.line as string).replace('timestamp(3) ', 'timestamp (3) ')).sort()
  })

test('the migrated Server Details database is what the code says', async () => {
  await using it = await testServerDetails()
  expect(await inDatabase(it.adminUrl)).toEqual(inCode(serverDetails))
})

test('the migrated Communication database is what the code says', async () => {
  await using it = await testCommunications()
  expect(await inDatabase(it.adminUrl)).toEqual(inCode(communications))
})

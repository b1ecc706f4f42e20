import postgres, { type Sql, type TransactionSql } from 'postgres'

/** A service's user: it writes its own tables alone and reads what the others let be read. */
export type ServiceUser = {
  name: string
  password: string
  owns: string[]
  /** Reads all that there is, and writes nothing: for backups. */
  readsAll?: boolean
}

/** Who makes backups, of each database the same. */
export const backupUser = (password: string): ServiceUser => ({
  name: 'conntext_backup',
  password,
  owns: [],
  readsAll: true,
})

export type Provisioning = {
  /** A superuser's or owner's URL of the database. */
  url: string
  users: ServiceUser[]
  /** Tables that only their writer may read: credentials, tokens, keys. */
  secret: string[]
}

const MAX_ATTEMPTS = 20

/** Creates the database unless it is there. `url` names a superuser and any other database. */
export async function createDatabase(url: string, name: string): Promise<void> {
  await withClient(url, async (client) => {
    const [found] = await client`select 1 from pg_database where datname = ${name}`
    if (found) return
    await client`create database ${client(name)} encoding 'UTF8' template template0`.catch((error) => {
      // Another instance was faster.
      if (!['42P04', '23505'].includes(error.code)) throw error
    })
  })
}

/** Makes the services' users and grants each the least it needs. Safe to repeat, after every migration. */
export async function provisionUsers(provisioning: Provisioning): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await provisionOnce(provisioning)
    } catch (error) {
      // Users belong to the whole engine, locks to one database: whoever provisions another one may be at the same user.
      if (!isCollision(error) || attempt === MAX_ATTEMPTS) throw error
      await Bun.sleep(attempt * 20 * Math.random())
    }
  }
}

// The user is there by now, or its row was changed under our hands.
const isCollision = (error: unknown): boolean =>
  error instanceof postgres.PostgresError &&
  (error.code === '42710' ||
    (error.code === '23505' && error.table_name === 'pg_authid') ||
    (error.code === 'XX000' && error.message.startsWith('tuple concurrently')))

async function provisionOnce({ url, users, secret }: Provisioning): Promise<void> {
  await withClient(url, (client) =>
    client.begin(async (tx) => {
      await tx`select pg_advisory_xact_lock(7261002)`
      const [here] = await tx`select current_database() as name`
      await tx`revoke all on schema public from public`
      await tx`revoke all on database ${tx(here!.name)} from public`
      for (const user of users) {
        await ensureUser(tx, user)
        if (user.readsAll) await tx`grant pg_read_all_data to ${tx(user.name)}`
        await grantLeast(tx, user, secret, here!.name)
      }
    }),
  )
}

async function ensureUser(tx: TransactionSql, user: ServiceUser): Promise<void> {
  const [found] = await tx`select 1 from pg_roles where rolname = ${user.name}`
  const statement = found ? 'alter' : 'create'
  // Utility statements take no parameters: the server quotes the values for us.
  const [quoted] = await tx`select format('%I login password %L', ${user.name}::text, ${user.password}::text) as rest`
  await tx.unsafe(`${statement} role ${quoted!.rest}`)
}

async function grantLeast(tx: TransactionSql, user: ServiceUser, secret: string[], database: string): Promise<void> {
  const who = tx(user.name)
  await tx`grant connect on database ${tx(database)} to ${who}`
  await tx`grant usage on schema public to ${who}`
  await tx`revoke all on all tables in schema public from ${who}`
  const tables = await tx`select tablename as name from pg_tables where schemaname = 'public'`
  for (const { name } of tables) {
    if (user.owns.includes(name)) await tx`grant select, insert, update, delete on ${tx(name)} to ${who}`
    else if (!secret.includes(name)) await tx`grant select on ${tx(name)} to ${who}`
  }
  await tx`grant usage on all sequences in schema public to ${who}`
  // So that a service sees whether the schema is as new as itself.
  const [migrations] = await tx`select to_regclass('drizzle.__drizzle_migrations') as name`
  if (migrations?.name === null) return
  await tx`grant usage on schema drizzle to ${who}`
  await tx`grant select on drizzle.__drizzle_migrations to ${who}`
}

async function withClient<T>(url: string, use: (client: Sql) => Promise<T>): Promise<T> {
  const client = postgres(url, { max: 1, onnotice: () => {} })
  try {
    return await use(client)
  } finally {
    await client.end({ timeout: 5 })
  }
}

import { drizzle } from 'drizzle-orm/postgres-js'
import { migrate } from 'drizzle-orm/postgres-js/migrator'
import postgres from 'postgres'

// Any number will do, as long as every instance of every version uses the same.
const MIGRATION_LOCK = 7_261_001

/**
 * Brings a database's schema up to date. Forward only and safe to repeat; instances that start at the same time wait
 * for each other. Runs as the database's owner, not as a service's user.
 */
export async function migrateDatabase(options: { url: string; folder: string }): Promise<void> {
  const client = postgres(options.url, { max: 1, onnotice: () => {} })
  try {
    await client`select pg_advisory_lock(${MIGRATION_LOCK})`
    await migrate(drizzle(client), { migrationsFolder: options.folder })
  } finally {
    // Ending the connection releases the lock.
    await client.end({ timeout: 5 })
  }
}

import type { Deployment } from '@conntext/testing'
import postgres from 'postgres'

/** Makes all messages of a stopped server so many days older. */
export const ageMessages = (server: Deployment, days: number): Promise<void> =>
  server.withDatabase('communications', async (url) => {
    const sql = postgres(url, { max: 1, onnotice: () => {} })
    await sql`update messages set created_at = created_at - make_interval(days => ${days})`.finally(() => sql.end())
  })

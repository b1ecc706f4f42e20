import { COMMUNICATIONS, openCommunications } from '@conntext/db-communications'
import { openServerDetails, SERVER_DETAILS } from '@conntext/db-server-details'
import postgres from 'postgres'
import { TEMPLATES, TEST_PASSWORD } from './shared.ts'
import { storeEnvironment } from './stores.ts'

const POOL = 6

function at(server: string, database: string, user?: string): string {
  const url = new URL(server)
  url.pathname = `/${database}`
  if (user) {
    url.username = user
    url.password = TEST_PASSWORD
  }
  return url.href
}

/** One connection of this process's own, over which databases are made and thrown away. */
let kept: Promise<{ server: string; sql: postgres.Sql }> | undefined

function administration() {
  kept ??= storeEnvironment().then((env) => {
    const server = env.CONNTEXT_TEST_POSTGRES!
    return { server, sql: postgres(server, { max: 1, onnotice: () => {} }) }
  })
  return kept
}

async function clone(template: string) {
  const { server, sql } = await administration()
  const name = `t_${crypto.randomUUID().replaceAll('-', '')}`
  await cloneWhenFree(sql, name, template)
  return {
    url: (user?: string) => at(server, name, user),
    drop: () => sql`drop database ${sql(name)} with (force)`,
  }
}

// A template can't be copied by two at a time: whoever comes second asks again. Files are copied as they are: to log
// every page of them first, which is Postgres's default, costs four times as much.
async function cloneWhenFree(admin: postgres.Sql, name: string, template: string): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      await admin`create database ${admin(name)} template ${admin(template)} strategy file_copy`
      return
    } catch (error) {
      if ((error as { code?: string }).code !== '55006' || attempt > 200) throw error
      await Bun.sleep(25)
    }
  }
}

/** A migrated, empty Server Details database of the test's own, opened as each of its services. */
export async function testServerDetails() {
  const database = await clone(TEMPLATES.serverDetails)
  const open = (user: string) =>
    openServerDetails({ url: database.url(user), poolSize: POOL, applicationName: `${SERVER_DETAILS} test` })
  const auth = open('conntext_auth')
  const system = open('conntext_system')
  return {
    auth,
    system,
    adminUrl: database.url(),
    async [Symbol.asyncDispose]() {
      await Promise.all([auth.close(), system.close()])
      await database.drop()
    },
  }
}

/** A migrated, empty Communication database of the test's own, opened as the messaging service. */
export async function testCommunications() {
  const database = await clone(TEMPLATES.communications)
  const messagingUrl = database.url('conntext_messaging')
  const messaging = openCommunications({
    url: messagingUrl,
    poolSize: POOL,
    applicationName: `${COMMUNICATIONS} test`,
  })
  return {
    messaging,
    messagingUrl,
    adminUrl: database.url(),
    async [Symbol.asyncDispose]() {
      await messaging.close()
      await database.drop()
    },
  }
}

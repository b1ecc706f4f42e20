// What docker/ sets is what the code knows, service by service.
import { describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseEnv } from 'node:util'
import { authSettings } from '@conntext/auth'
import { gatewaySettings } from '@conntext/gateway'
import { messagingSettings } from '@conntext/messaging'
import { realtimeSettings } from '@conntext/realtime'
import {
  addressSettings,
  databaseSettings,
  listenerSettings,
  MasterKeySetting,
  type Neighbour,
  processSettings,
} from '@conntext/runtime'
import { auditSettings, backupSettings, backupSourceSettings, clickHouseSettings } from '@conntext/system'
import { type ComposeService, readCompose } from '@conntext/testing/stack'
import { migrateSettings } from '../src/cli/migrate.ts'
import { Settings } from '../src/config.ts'

const docker = fileURLToPath(new URL('../../../docker', import.meta.url))

const own = (neighbours: Neighbour[], ...parts: object[]) =>
  Object.keys(Object.assign({}, processSettings, addressSettings(neighbours), listenerSettings(0), ...parts))

/** What each of the processes reads, as its main.ts puts it together. */
const known: Record<string, string[]> = {
  gateway: own(['auth', 'system', 'messaging', 'realtime'], gatewaySettings.properties),
  auth: own(['system', 'messaging'], authSettings, databaseSettings('CONNTEXT_SERVER_DETAILS_URL', ''), {
    CONNTEXT_MASTER_KEY: MasterKeySetting,
    CONNTEXT_SETUP_CODE: '',
  }),
  system: own(
    ['auth', 'messaging', 'realtime'],
    auditSettings,
    clickHouseSettings,
    backupSettings,
    backupSourceSettings,
    databaseSettings('CONNTEXT_SERVER_DETAILS_URL', ''),
    {
      CONNTEXT_MASTER_KEY: MasterKeySetting,
    },
  ),
  messaging: own(['auth', 'system'], messagingSettings, databaseSettings('CONNTEXT_COMMUNICATIONS_URL', '')),
  realtime: own(['auth', 'system', 'messaging'], realtimeSettings),
  migrate: Object.keys(migrateSettings.properties),
  // The operator's container: whatever one of its commands reads.
  help: own(
    ['auth', 'system', 'messaging', 'realtime'],
    migrateSettings.properties,
    messagingSettings,
    backupSettings,
    {
      CONNTEXT_MASTER_KEY: MasterKeySetting,
    },
  ),
  server: Object.keys(Settings.properties),
}
const left: Record<string, RegExp> = {
  // Stores of its own are what the all-in-one is for.
  server: /^CONNTEXT_(CLICKHOUSE|S3)_/,
  // What only a service that runs, or `migrate`, has a use for.
  help: /^CONNTEXT_(PORT|[A-Z]+_DATABASE_PASSWORD|MEDIA_\w+|RATE_\w+)$/,
}

const env = { CONNTEXT_PUBLIC_URL: 'https://chat.example.org' }
const services = (await Promise.all(['compose.yml', 'compose.single.yml'].map(servicesOf))).flat()

async function servicesOf(name: string): Promise<ComposeService[]> {
  const file = join(docker, name)
  return [...readCompose(await Bun.file(file).text(), file, env).services.values()].filter(({ built }) => built)
}

describe.each(services.map((service) => [service.name, service] as const))('%s', (_, { command, environment }) => {
  const kind = command[0]!
  const set = Object.keys(environment).map((name) => (known[kind]!.includes(name) ? name : name.replace(/_FILE$/, '')))

  test('is set nothing that it does not know', () => {
    expect(set.filter((name) => !known[kind]!.includes(name))).toEqual([])
  })

  test('can be set everything that it knows', () => {
    expect(known[kind]!.filter((name) => !set.includes(name) && !left[kind]?.test(name))).toEqual([])
  })
})

test('.env.example tells of every setting, and of nothing else', async () => {
  const text = await Bun.file(join(docker, '.env.example')).text()
  // Every one is there once, all but one of them commented out.
  const lines = [...text.matchAll(/^(?:# )?(CONNTEXT_[A-Z0-9_]+)=/gm)].map(([, name]) => name!)
  expect(Object.keys(parseEnv(text))).toEqual(['CONNTEXT_PUBLIC_URL'])
  // The files that an operator fills are named beside the settings themselves.
  const told = lines.filter((name) => !name.endsWith('_FILE'))
  expect(new Set(told).size).toBe(told.length)
  expect(told.sort()).toEqual([...new Set([...Object.values(known).flat(), 'CONNTEXT_CONFIG'])].sort())
})

// What the compose files set otherwise: their own Caddy, their own account of ClickHouse's.
const otherwise = new Set(['CONNTEXT_TRUSTED_PROXIES', 'CONNTEXT_CLICKHOUSE_USER'])

test('.env.example tells the defaults', async () => {
  const text = await Bun.file(join(docker, '.env.example')).text()
  for (const [name, schema] of Object.entries({ ...processSettings, ...Settings.properties })) {
    if (schema.default === undefined || otherwise.has(name)) continue
    expect({ name, told: new RegExp(`^# ${name}=(.*)$`, 'm').exec(text)?.[1] }).toEqual({
      name,
      told: String(schema.default),
    })
  }
})

test('.env.example tells of every variable of the compose files', async () => {
  const text = await Bun.file(join(docker, '.env.example')).text()
  for (const name of ['compose.yml', 'compose.single.yml']) {
    const source = await Bun.file(join(docker, name)).text()
    for (const [, variable] of source.matchAll(/(?<!\$)\$\{(\w+)/g)) {
      expect({ variable, told: new RegExp(`^(# )?${variable}=`, 'm').test(text) }).toEqual({ variable, told: true })
    }
  }
})

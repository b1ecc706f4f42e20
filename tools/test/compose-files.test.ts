import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Compose, type ComposeService, readCompose, startOrder } from '@conntext/testing/stack'
import { locateDockerCompose } from '../docker-compose/get.ts'
import { root } from '../lib/root.ts'

const docker = join(root, 'docker')
const env = { CONNTEXT_PUBLIC_URL: 'https://chat.example.org' }
const files = ['compose.yml', 'compose.single.yml']

const sources = Object.fromEntries(
  await Promise.all(files.map(async (name) => [name, await Bun.file(join(docker, name)).text()] as const)),
)
const read = (name: string): Compose => readCompose(sources[name]!, join(docker, name), env)
const split = read('compose.yml')
const gateways = [...split.services.values()].filter(({ command }) => command[0] === 'gateway')
/** Of image names: those that hold data. */
const stores = ['postgres', 'clickhouse', 'minio']

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'conntext-compose-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const isOneShot = (service: ComposeService) => service.command[0] === 'migrate'
/** Runs a command of the operator's, and is gone. */
const isByHand = ({ profiles }: ComposeService) => profiles.includes('operator')
const duration = (text: unknown) => {
  const [, amount, unit] = /^(\d+)(s|m)$/.exec(String(text)) ?? []
  return Number(amount) * (unit === 'm' ? 60 : 1)
}

describe.each(files)('%s', (name) => {
  const compose = read(name)
  const services = [...compose.services.values()]

  test('starts in an order in which each comes after what it needs', () => {
    const order = startOrder(compose.services)
    for (const { name, dependsOn } of services) {
      for (const other of Object.keys(dependsOn)) expect(order.indexOf(other)).toBeLessThan(order.indexOf(name))
    }
  })

  test('waits for health, or for the end of what ends', () => {
    for (const { dependsOn } of services) {
      for (const [other, condition] of Object.entries(dependsOn)) {
        const needed = compose.services.get(other)!
        expect(condition).toBe(isOneShot(needed) ? 'service_completed_successfully' : 'service_healthy')
      }
    }
  })

  test.each(services.map((service) => [service.name, service] as const))('%s is confined and bounded', (_, service) => {
    const { raw } = service
    expect(raw).toMatchObject({ read_only: true, init: true, cap_drop: ['ALL'] })
    expect(raw.security_opt).toContain('no-new-privileges:true')
    expect(raw.tmpfs).toContainEqual('/tmp')
    expect(raw.mem_limit).toMatch(/^\d+[mg]$/)
    expect(raw.pids_limit).toBeNumber()
    expect(raw.logging).toMatchObject({ driver: 'json-file', options: { 'max-size': '10m', 'max-file': '3' } })
    expect(raw.restart).toBe(isByHand(service) ? 'no' : isOneShot(service) ? 'on-failure' : 'unless-stopped')
    expect(raw.privileged).toBeUndefined()
    expect(raw.network_mode).toBeUndefined()
  })

  test('every service that goes on has a health check', () => {
    for (const service of services) {
      const check = service.raw.healthcheck as { test?: string[]; disable?: boolean }
      if (isOneShot(service) || isByHand(service)) expect(check.disable).toBe(true)
      else expect(check.test?.length).toBeGreaterThan(1)
    }
  })

  test('what is ours has longer to stop than it takes', () => {
    for (const service of services.filter(({ built }) => built)) {
      expect(duration(service.raw.stop_grace_period)).toBeGreaterThan(25)
    }
  })

  test('images of others are pinned to a release', () => {
    for (const { built, image } of services) {
      if (!built) expect(image).toMatch(/^[\w./-]+:(RELEASE\.[\dTZ-]+|\d+\.\d+(\.\d+)*(-\w+)?)$/)
    }
  })

  test('every secret is declared, granted, made, and read by whoever has it', async () => {
    const directory = join(folder, `${name}-secrets`)
    expect(Bun.spawnSync([join(docker, 'make-secrets'), directory]).exitCode).toBe(0)
    const granted = new Set(services.flatMap(({ secrets }) => secrets))
    expect([...compose.secrets.keys()].sort()).toEqual([...granted].sort())
    for (const secret of granted) expect(await Bun.file(join(directory, secret)).exists()).toBe(true)
    for (const { name, secrets, raw, environment } of services) {
      const told = JSON.stringify({ ...raw, secrets: [] })
      const read = [...told.matchAll(/\/run\/secrets\/(\w+)/g)].map(([, secret]) => secret!)
      for (const secret of read) expect(secrets).toContain(secret)
      // Those of the mail server and of backups are named in .env, where there are any.
      const optional = ['smtp_url', 'backup_passphrase', 'backup_s3_access_key', 'backup_s3_secret_key'].filter((one) =>
        Object.hasOwn(environment, `CONNTEXT_${one.toUpperCase()}_FILE`),
      )
      expect({ name, unread: secrets.filter((one) => !read.includes(one) && !optional.includes(one)) }).toEqual({
        name,
        unread: [],
      })
    }
  })

  test('no secret stands in an environment, nor on a command line', () => {
    for (const { environment, command, entrypoint = [] } of services) {
      for (const [key, value] of Object.entries(environment)) {
        if (/PASSWORD|PASSPHRASE|SECRET|SERVICE_CREDENTIAL|MASTER_KEY|ACCESS_KEY|SETUP_CODE|ROOT_USER/.test(key)) {
          expect(`${key}=${value}`).toMatch(/^\w+_FILE=(\/run\/secrets\/\w+)?$/)
        }
        // Of URLs: no user with a password.
        expect(value).not.toMatch(/:\/\/[^/@\s]*:[^/@\s]+@/)
      }
      for (const word of [...entrypoint, ...command]) expect(word).not.toMatch(/--?requirepass|--password|--secret/)
    }
  })

  test('publishes what is for the world, and nothing else', () => {
    const published = services.filter(({ ports }) => ports.length > 0).map((service) => service.name)
    expect(published.filter((one) => one !== 'caddy' && one !== 'coturn')).toEqual([
      name === 'compose.yml' ? 'realtime' : 'server',
    ])
    const caddy = compose.services.get('caddy')!
    expect(caddy.ports).toEqual(['80:80', '443:443', '443:443/udp'])
  })

  test.skipIf(locateDockerCompose() === undefined)('is what docker-compose takes', async () => {
    const { command, env: own } = locateDockerCompose()!
    // It knows no name of the whole.
    const copy = join(folder, name)
    await Bun.write(copy, sources[name]!.replace(/^name: .*$/m, ''))
    const asked = [
      ...command,
      '--file',
      copy,
      '--project-directory',
      docker,
      '--profile',
      'voice',
      '--profile',
      'operator',
      'config',
      '--services',
    ]
    const { exitCode, stdout, stderr } = Bun.spawnSync(asked, { env: { ...own, ...env } })
    expect(stderr.toString()).toBe('')
    expect(exitCode).toBe(0)
    expect(stdout.toString().trim().split('\n').sort()).toEqual([...compose.services.keys()].sort())
  })

  test('does not start without knowing where people reach it', () => {
    expect(() => readCompose(sources[name]!, join(docker, name), {})).toThrow('CONNTEXT_PUBLIC_URL')
  })
})

describe('of the split deployment', () => {
  test('there are two gateways and two of messaging, each its own service', () => {
    expect(gateways.map(({ name }) => name)).toEqual(['gateway-1', 'gateway-2'])
    const messaging = [...split.services.values()].filter(({ command }) => command[0] === 'messaging')
    expect(messaging).toHaveLength(2)
    const { CONNTEXT_MESSAGING_URL } = gateways[0]!.environment
    expect(CONNTEXT_MESSAGING_URL).toBe(messaging.map(({ name }) => `http://${name}:8083`).join(','))
    expect(split.services.get('caddy')?.environment.GATEWAYS).toBe('gateway-1:8080 gateway-2:8080')
  })

  test('a gateway reaches no store, and has the credential of none', () => {
    const theirs = new Set(stores.flatMap((name) => split.services.get(name)!.networks))
    for (const { networks, environment, secrets } of gateways) {
      expect(networks.filter((network) => theirs.has(network))).toEqual([])
      expect(
        Object.keys(environment).filter((key) => /DATABASE|_DETAILS|COMMUNICATIONS|CLICKHOUSE|S3/.test(key)),
      ).toEqual([])
      expect(secrets.sort()).toEqual(['redis_password', 'service_credential'])
    }
  })

  test('stores are on networks that lead nowhere else, as are all but the way in and what calls out', () => {
    const open = [...split.networks].filter(([, { internal }]) => !internal).map(([name]) => name)
    expect(open.sort()).toEqual(['outside', 'public'])
    const outside = [...split.services.values()].filter(({ networks }) => networks.some((one) => open.includes(one)))
    expect(outside.map(({ name }) => name).sort()).toEqual([
      'auth',
      'caddy',
      'coturn',
      'messaging-1',
      'messaging-2',
      'realtime',
    ])
  })

  test('whoever calls a service shares a network with it', () => {
    for (const { name, environment, networks } of split.services.values()) {
      for (const [, host] of Object.values(environment)
        .join(' ')
        .matchAll(/(?:\/\/|@)([a-z][a-z0-9-]*)(?=[:/,]|\s|$)/g)) {
        const called = split.services.get(host!)
        if (called)
          expect({ name, host, shared: called.networks.some((one) => networks.includes(one)) }).toMatchObject({
            shared: true,
          })
      }
    }
  })

  test('a database password is known to its service and to whoever makes its user', () => {
    for (const service of ['auth', 'system', 'messaging']) {
      const secret = `${service}_database_password`
      const holders = [...split.services.values()].filter(({ secrets }) => secrets.includes(secret))
      expect(new Set(holders.map(({ command }) => command[0]))).toEqual(new Set([service, 'migrate']))
    }
    const superuser = [...split.services.values()].filter(({ secrets }) => secrets.includes('postgres_password'))
    expect(superuser.map(({ name }) => name).sort()).toEqual(['migrate', 'operator', 'postgres'])
  })
})

import { expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '@conntext/embedded'
import { eventually } from '@conntext/testing'
import { runToEnd, splitProcess } from '@conntext/testing/split'

// Each service as a process of its own, before it has anything to talk to.

const SECRET = 'hunter2-hunter2'
const wrong: Record<string, string> = {
  CONNTEXT_PORT: 'eighty',
  CONNTEXT_LOG_LEVEL: 'loud',
  CONNTEXT_REDIS_URL: `http://user:${SECRET}@redis`,
  CONNTEXT_SERVICE_CREDENTIAL: 'short',
  CONNTEXT_AUTH_URL: `ftp://${SECRET}`,
  CONNTEXT_SERVER_DETAILS_URL: SECRET,
  CONNTEXT_COMMUNICATIONS_URL: SECRET,
  CONNTEXT_DATABASE_PASSWORD_FILE: '/nowhere/at/all',
  CONNTEXT_MASTER_KEY: SECRET,
  CONNTEXT_S3_ACCESS_KEY: SECRET,
  CONNTEXT_SMTP_URL: `smtp://${SECRET}`,
}
const everybody = ['CONNTEXT_LOG_LEVEL', 'CONNTEXT_PORT', 'CONNTEXT_REDIS_URL', 'CONNTEXT_SERVICE_CREDENTIAL']
const details = ['CONNTEXT_DATABASE_PASSWORD_FILE', 'CONNTEXT_MASTER_KEY', 'CONNTEXT_SERVER_DETAILS_URL']
const faults: Record<string, string[]> = {
  gateway: ['CONNTEXT_AUTH_URL', 'CONNTEXT_MESSAGING_URL', 'CONNTEXT_REALTIME_URL', 'CONNTEXT_SYSTEM_URL'],
  auth: [...details, 'CONNTEXT_MAIL_FROM', 'CONNTEXT_MESSAGING_URL', 'CONNTEXT_SETUP_CODE', 'CONNTEXT_SYSTEM_URL'],
  system: [
    ...details,
    'CONNTEXT_AUTH_URL',
    'CONNTEXT_CLICKHOUSE_URL',
    'CONNTEXT_MESSAGING_URL',
    'CONNTEXT_REALTIME_URL',
  ],
  messaging: [
    'CONNTEXT_AUTH_URL',
    'CONNTEXT_COMMUNICATIONS_URL',
    'CONNTEXT_DATABASE_PASSWORD_FILE',
    'CONNTEXT_S3_ENDPOINT',
    'CONNTEXT_SYSTEM_URL',
  ],
  realtime: ['CONNTEXT_AUTH_URL', 'CONNTEXT_MESSAGING_URL', 'CONNTEXT_SYSTEM_URL'],
}

test.each(Object.keys(faults))(
  '%s with a wrong configuration ends at once and names every fault, and no value',
  async (service) => {
    const failure = await runToEnd(`apps/${service}/src/main.ts`, [], wrong).catch((error: Error) => error.message)
    expect(failure).toContain('ended with 1')
    expect(failure).not.toContain(SECRET)
    const named = [...String(failure).matchAll(/^ {2}(CONNTEXT_\w+): /gm)].map(([, name]) => name!)
    expect(named.sort()).toEqual([...everybody, ...faults[service]!].sort())
  },
  60_000,
)

/** Realtime needs the least: a Redis, and three services. */
async function realtime(env: Record<string, string> = {}) {
  const port = await freePort()
  return splitProcess({
    name: 'realtime',
    script: 'apps/realtime/src/main.ts',
    url: `http://127.0.0.1:${port}`,
    env: {
      CONNTEXT_HOST: '127.0.0.1',
      CONNTEXT_PORT: String(port),
      CONNTEXT_REDIS_URL: `redis://127.0.0.1:${await freePort()}`,
      CONNTEXT_SERVICE_CREDENTIAL: 'a-credential-of-this-test',
      CONNTEXT_AUTH_URL: `http://127.0.0.1:${await freePort()}`,
      CONNTEXT_SYSTEM_URL: `http://127.0.0.1:${await freePort()}`,
      CONNTEXT_MESSAGING_URL: `http://127.0.0.1:${await freePort()}`,
      ...env,
    },
  })
}

test('a service waits for what is not there: it says so, lives, isn’t ready, and ends in order', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'conntext-processes-'))
  const credential = join(directory, 'credential')
  writeFileSync(credential, 'a-credential-in-a-file\n')
  const one = await realtime({ CONNTEXT_SERVICE_CREDENTIAL: '', CONNTEXT_SERVICE_CREDENTIAL_FILE: credential })
  one.launch()
  try {
    await eventually(() => /^conntext realtime: waiting for Redis: /m.test(one.output()), 30_000)
    expect(one.output()).toContain(`conntext realtime: listening on ${one.url}`)
    expect((await fetch(`${one.url}/livez`)).status).toBe(200)
    expect((await fetch(`${one.url}/readyz`)).status).toBe(503)
    const headers = { 'x-conntext-service': 'a-credential-in-a-file' }
    expect((await fetch(`${one.url}/v1/voice/status`, { headers })).status).toBe(503)
    expect(await one.kill('SIGTERM')).toBe(0)
    expect(one.output()).toContain('conntext realtime: stopping (SIGTERM)')
  } finally {
    await one.kill('SIGKILL')
    rmSync(directory, { recursive: true })
  }
}, 120_000)

test('a port that is taken ends it, in words', async () => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  const one = await realtime({ CONNTEXT_PORT: String(port) })
  await expect(one.start()).rejects.toThrow(/ended with 1:[\s\S]*is taken by another program/)
  server.close()
}, 120_000)

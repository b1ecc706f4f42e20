import { afterAll, beforeAll, expect, test } from 'bun:test'
import { chmod, mkdtemp, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventually, freePort, SETUP_CODE, type ServerProcess, startServerProcess } from '@conntext/testing'
import { conntextWith } from './command/conntext.ts'

const MINUTES = 120_000

let server: ServerProcess
let settings: Record<string, string>
beforeAll(async () => {
  server = await startServerProcess()
  settings = { CONNTEXT_PORT: new URL(server.url).port, CONNTEXT_HOST: '127.0.0.1' }
}, MINUTES)
afterAll(async () => server?.[Symbol.asyncDispose](), MINUTES)

const command = (...args: string[]) => conntextWith({ ...settings, CONNTEXT_DATA: server.data }, ...args)
const findings = (out: string) => out.split('\n').filter((line) => /^(ok|warning|FAULT) /.test(line))
const about = (out: string, what: string) => findings(out).find((line) => line.includes(`  ${what}: `))

test(
  'of a server that runs: its status, and a doctor that finds nothing in the way',
  async () => {
    const status = await command('status')
    expect(status).toMatchObject({ code: 0 })
    expect(status.out).toMatch(/^ready at http:\/\/127\.0\.0\.1:\d+ /)
    expect(status.out).toContain('  messaging: up')
    expect(status.out).toMatch(/^release \S+, started \S+Z, (up|degraded) since \S+Z$/m)
    for (const database of ['server_details', 'communications', 'audit']) {
      expect(status.out).toMatch(new RegExp(`^schema of ${database}: (\\d+) of \\1 migrations$`, 'm'))
    }
    // A server is ready before its media workers are up.
    const { code, out } = await eventually(async () => {
      const found = await command('doctor')
      return about(found.out, 'server')?.startsWith('ok ') ? found : undefined
    })
    expect(code).toBe(0)
    for (const what of ['configuration', 'disk space', 'clock', 'master key', 'Postgres', 'order of time', 'server']) {
      expect(about(out, what)).toStartWith('ok ')
    }
    expect(about(out, 'Postgres')).toContain('that of the running server')
    // What is a matter of choice is told, with what to do, and is no fault.
    expect(about(out, 'mail')).toStartWith('warning ')
    expect(out).toContain('Set CONNTEXT_SMTP_URL')
  },
  MINUTES,
)

test(
  'whether calls get to a server: the one that runs is asked, and where none does its ports are tried out',
  async () => {
    const running = await command('doctor', 'voice')
    expect(about(running.out, 'server')).toBe('ok       server: runs, and was asked')
    // What it has isn't what this command was told: another place, and any port.
    expect(running.out).toMatch(/^ok {7}media workers: \d+ up$/m)
    expect(running.out).toMatch(/^ok {7}port \d+: answers over UDP and TCP at \S+/m)
    expect(about(running.out, 'media ports')).toStartWith('warning ')
    expect(about(running.out, 'relay')).toContain('CONNTEXT_TURN_URLS')
    const taken = Bun.listen({ hostname: '0.0.0.0', port: 0, socket: { data() {} } })
    const env = { CONNTEXT_DATA: join(server.data, 'nowhere'), CONNTEXT_VOICE_WORKERS: '1' }
    const stopped = await conntextWith({ ...env, CONNTEXT_VOICE_PORT: String(taken.port) }, 'doctor', 'voice')
    taken.stop(true)
    expect(stopped.code).toBe(1)
    expect(about(stopped.out, 'server')).toContain('does not run')
    expect(about(stopped.out, 'media workers')).toStartWith(`FAULT    media workers: Media can't be received on port`)
    const wrong = await conntextWith({ ...env, CONNTEXT_ICE_POLICY: 'relay' }, 'doctor', 'voice')
    expect(wrong.out).toContain('FAULT    configuration: CONNTEXT_TURN_URLS is required where')
  },
  MINUTES,
)

test(
  'the accounts, with how they stand',
  async () => {
    const body = { username: 'olga', password: 'a-long-enough-password', setupCode: SETUP_CODE }
    const answer = await fetch(`${server.url}/v1/auth/register`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    const { user } = (await answer.json()) as { user: { id: string } }
    const { code, out } = await command('users', 'list')
    expect(code).toBe(0)
    expect(out.trim().split(/\s{2,}/)).toEqual([user.id, 'olga', 'owner', 'active', expect.stringMatching(/Z$/)])
  },
  MINUTES,
)

test(
  'the settings in force, with secrets hidden; of a configuration that is none, the faults',
  async () => {
    const set = {
      CONNTEXT_PORT: '8123',
      CONNTEXT_SMTP_URL: 'smtp://mailer:hunter2@mail.example.org',
      CONNTEXT_MAIL_FROM: 'ConnText <conntext@example.org>',
      CONNTEXT_SETUP_CODE: 'hunter2-again',
    }
    const { code, out } = await conntextWith({ CONNTEXT_DATA: '/nowhere', ...set }, 'config', 'print')
    expect(code).toBe(0)
    const lines = out.split('\n')
    expect(lines).toContain('CONNTEXT_PORT=8123')
    expect(lines).toContain('CONNTEXT_DATA=/nowhere')
    expect(lines).toContain('CONNTEXT_SETUP_CODE=(hidden)')
    expect(lines).toContain('CONNTEXT_MAIL_FROM="ConnText <conntext@example.org>"')
    expect(lines).toContain('# CONNTEXT_HOST=0.0.0.0')
    expect(out).toContain('smtp://mailer@mail.example.org')
    expect(out).not.toContain('hunter2')
    const wrong = await conntextWith({ CONNTEXT_PORT: 'hunter2' }, 'config', 'print')
    expect(wrong).toMatchObject({ code: 1, out: '' })
    expect(wrong.err).toContain('CONNTEXT_PORT')
    expect(wrong.err).not.toContain('hunter2')
  },
  MINUTES,
)

test(
  'every fault of a configuration at once, and no value',
  async () => {
    const wrong = { CONNTEXT_PORT: 'sixty', CONNTEXT_S3_ENDPOINT: 'ftp://hunter2', CONNTEXT_PROT: '1' }
    const { code, out } = await conntextWith({ CONNTEXT_DATA: server.data, ...wrong }, 'doctor')
    expect(code).toBe(1)
    expect(findings(out).every((line) => line.startsWith('FAULT '))).toBe(true)
    expect(out).toContain('CONNTEXT_PORT')
    expect(out).toContain('CONNTEXT_S3_ENDPOINT')
    expect(out).not.toContain('hunter2')
  },
  MINUTES,
)

test(
  'stores that are set and not there, and a port that is somebody else’s',
  async () => {
    const taken = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } })
    const data = await mkdtemp(join(tmpdir(), 'conntext-doctor-'))
    const dead = `http://127.0.0.1:${await freePort()}`
    const missing = {
      CONNTEXT_HOST: '127.0.0.1',
      CONNTEXT_PORT: String(taken.port),
      CONNTEXT_CLICKHOUSE_URL: dead,
      CONNTEXT_S3_ENDPOINT: dead,
      CONNTEXT_S3_ACCESS_KEY: 'key',
      CONNTEXT_S3_SECRET_KEY: 'secret-of-this-test',
      CONNTEXT_SMTP_URL: `smtp://127.0.0.1:${await freePort()}`,
      CONNTEXT_MAIL_FROM: 'conntext@example.org',
      CONNTEXT_PUBLIC_URL: 'http://chat.example.org',
    }
    const { code, out } = await conntextWith({ CONNTEXT_DATA: data, ...missing }, 'doctor')
    taken.stop(true)
    await rm(data, { recursive: true })
    expect(code).toBe(1)
    for (const what of [`port ${taken.port}`, 'ClickHouse', 'object store', 'mail']) {
      expect(about(out, what)).toStartWith('FAULT ')
    }
    expect(about(out, 'public URL')).toStartWith('warning ')
    expect(out).not.toContain('secret-of-this-test')
  },
  MINUTES,
)

test(
  'of a server at rest: its database is looked at all the same; a key that others can read, or that is gone, is a fault',
  async () => {
    await server.kill('SIGTERM')
    const status = await command('status')
    expect(status).toMatchObject({ code: 1 })
    expect(status.out).toStartWith('not running: ')
    const well = await command('doctor')
    expect(well.code).toBe(0)
    expect(about(well.out, 'Postgres')).toContain('started for this look')
    expect(about(well.out, `port ${settings.CONNTEXT_PORT}`)).toStartWith('ok ')

    const key = join(server.data, 'secrets', 'master-key')
    await chmod(key, 0o644)
    const open = await command('doctor')
    expect(open.code).toBe(1)
    expect(about(open.out, 'master key')).toContain('can be read by other accounts')
    await chmod(key, 0o600)

    await rename(key, `${key}.away`)
    const gone = await command('doctor')
    expect(gone.code).toBe(1)
    expect(about(gone.out, 'master key')).toContain('is missing')
    await rename(`${key}.away`, key)
  },
  2 * MINUTES,
)

import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { isKeptByNtp } from '@conntext/kernel'
import { eventually, SETUP_CODE, type ServerProcess, startServerProcess } from '@conntext/testing'
import { conntext } from './command/conntext.ts'
import { superuser } from './command/database.ts'

const PASSWORD = 'a-long-enough-password'
const MINUTES = 120_000

let server: ServerProcess
let owner: { accessToken: string; refreshToken: string; user: { id: string } }

const call = async (method: string, path: string, body?: object, token = owner?.accessToken) => {
  const headers: Record<string, string> = body ? { 'content-type': 'application/json' } : {}
  if (token) headers.authorization = `Bearer ${token}`
  const answer = await fetch(server.url + path, { method, headers, ...(body && { body: JSON.stringify(body) }) })
  const text = await answer.text()
  return { status: answer.status, body: text === '' ? undefined : JSON.parse(text) }
}
const login = async (password = PASSWORD) => call('POST', '/v1/auth/login', { login: 'owner', password })
const secretOf = (name: string) => readFile(join(server.data, 'secrets', name), 'utf8')

beforeAll(async () => {
  server = await startServerProcess({ CONNTEXT_RATE_CREDENTIALS: '0' })
  const body = { username: 'owner', password: PASSWORD, setupCode: SETUP_CODE }
  owner = (await call('POST', '/v1/auth/register', body)).body
}, MINUTES)

afterAll(async () => server?.[Symbol.asyncDispose](), MINUTES)

/** What a server needs its keys for. */
async function expectAllToWork(code: string): Promise<void> {
  const codes: string[] = []
  for (let cursor: string | null = ''; cursor !== null; ) {
    const { body } = await call('GET', `/v1/invites?limit=100${cursor && `&cursor=${cursor}`}`)
    codes.push(...body.items.map((invite: { code: string }) => invite.code))
    cursor = body.nextCursor
  }
  expect(codes).toContain(code)
  const sessions = await call('GET', '/v1/auth/sessions')
  expect(sessions.body.items[0].userAgent).toMatch(/Bun/)
  const refreshed = await call('POST', '/v1/auth/refresh', { refreshToken: owner.refreshToken }, '')
  expect(refreshed.status).toBe(200)
  owner = refreshed.body
  expect((await login()).status).toBe(200)
}

describe('keys rotate, while the server runs', () => {
  test(
    'seals all anew under a new master key and no request fails meanwhile',
    async () => {
      const { code } = (await call('POST', '/v1/invites', {})).body
      const before = {
        key: await secretOf('master-key'),
        jwks: (await call('GET', '/.well-known/jwks.json')).body.keys,
      }
      let running = true
      const statuses: number[] = []
      const busy = (async () => {
        while (running) {
          statuses.push((await login()).status, (await call('POST', '/v1/invites', {})).status)
          statuses.push((await call('GET', '/v1/auth/sessions')).status, (await call('GET', '/v1/invites')).status)
        }
      })()
      const rotated = await conntext(server.data, 'keys', 'rotate', '--master', '--signing')
      running = false
      await busy
      expect(rotated).toMatchObject({ code: 0, out: '' })
      expect(rotated.err).toMatch(/auth: [1-9]\d* values sealed anew/)
      expect(rotated.err).toMatch(/system: [1-9]\d* values sealed anew/)
      expect(statuses.length).toBeGreaterThan(20)
      expect([...new Set(statuses)].sort()).toEqual([200, 201])

      expect(await secretOf('master-key')).not.toBe(before.key)
      expect((await stat(join(server.data, 'secrets', 'master-key'))).mode & 0o777).toBe(0o600)
      expect(existsSync(join(server.data, 'secrets', 'master-key.next'))).toBe(false)
      const jwks = (await call('GET', '/.well-known/jwks.json')).body.keys as { kid: string }[]
      expect(jwks).toHaveLength(2)
      expect(jwks[0]!.kid).toBe(before.jwks[0].kid)
      await expectAllToWork(code)
      const audited = await eventually(async () => {
        const { items } = (await call('GET', '/v1/audit/events?action=keys.rotated')).body
        return items.length === 2 ? items : undefined
      })
      for (const { actor, data } of audited) {
        expect(actor.kind).toBe('system')
        expect(data).toMatchObject({ masterKey: true })
      }
    },
    MINUTES,
  )

  test(
    'leaves nothing under the old keys, lets connections be made anew, and can be repeated without a restart',
    async () => {
      const { code } = (await call('POST', '/v1/invites', {})).body
      await using sql = await superuser(server.data)
      expect((await conntext(server.data, 'keys', 'rotate')).code).toBe(0)
      for (const [table, keys] of [
        ['sessions', 'data_keys'],
        ['signing_keys', 'data_keys'],
        ['invites', 'system_data_keys'],
      ]) {
        const [row] = await sql.unsafe(`select count(*)::int as stale, (select count(*)::int from ${table}) as all
        from ${table} join ${keys} k on k.id = data_key_id where k.retired_at is not null`)
        expect(row!.stale).toBe(0)
        expect(row!.all).toBeGreaterThan(0)
      }
      await sql`select pg_terminate_backend(pid) from pg_stat_activity where usename like 'conntext_%'`
      await eventually(async () => {
        const answers = [await login(), await call('GET', '/v1/invites'), await call('GET', '/v1/auth/sessions')]
        return answers.every(({ status }) => status === 200)
      })
      await expectAllToWork(code)
    },
    MINUTES,
  )

  test(
    'says what keys there are, and no secret of theirs',
    async () => {
      const { code, out, err } = await conntext(server.data, 'keys', 'list')
      expect({ code, err }).toEqual({ code: 0, err: '' })
      expect(out.match(/^(auth|system) .* seals +[1-9]/gm)).toHaveLength(2)
      expect(out.match(/^(auth|system) .* hashes +0/gm)).toHaveLength(2)
      expect(out.match(/^(auth|system) .* retired /gm)).toHaveLength(4)
      expect(out).not.toContain((await secretOf('master-key')).trim())
      const { keys } = (await call('GET', '/v1/audit/keys')).body as { keys: { id: string }[] }
      expect(out).toMatch(new RegExp(`^audit +${keys.at(-1)!.id} .* signs$`, 'm'))
      const published = new Set(keys.map(({ id }) => id))
      const words = out.split(/\s+/).filter((word) => !published.has(word))
      for (const word of words) expect(word).toMatch(/^([\w-]{1,36}|\d{4}-\S+Z)$/)
    },
    MINUTES,
  )
})

describe('audit', () => {
  test(
    'verifies what a running server has, against a checkpoint and after its key was followed by another',
    async () => {
      const kept = join(await mkdtemp(join(tmpdir(), 'conntext-checkpoint-')), 'checkpoint')
      const checkpoint = await conntext(server.data, 'audit', 'checkpoint')
      expect(checkpoint).toMatchObject({ code: 0, err: '' })
      await writeFile(kept, `${checkpoint.out}\n`)
      expect((await conntext(server.data, 'keys', 'rotate', '--audit')).err).toContain('signed by a new key')
      const verified = await conntext(server.data, 'audit', 'verify', '--against', kept)
      expect(verified).toMatchObject({ code: 0, out: '' })
      expect(verified.err).toMatch(/events in \d+ batches: all as it was written/)
      await writeFile(kept, `${checkpoint.out.replace(/(?<=\n)\d+(?=\n)/, '1000')}\n`)
      const contradicted = await conntext(server.data, 'audit', 'verify', '--against', kept)
      expect(contradicted.code).toBe(3)
      expect(contradicted.out).toMatch(/^checkpointContradicts +1000/)
      const directory = dirname(kept)
      await rename(kept, join(directory, 'checkpoints-2026-01-02.txt'))
      await writeFile(join(directory, 'checkpoints-2026-01-01.txt'), `${checkpoint.out}\n`)
      const among = await conntext(server.data, 'audit', 'verify', '--against', directory)
      expect(among.code).toBe(3)
      expect(among.out).toMatch(/^checkpointContradicts +1000/)
      for (const wrong of [['--against', '/nowhere'], ['--against', tmpdir()], ['--from', 'x'], ['--master']]) {
        expect((await conntext(server.data, 'audit', 'verify', ...wrong)).code).toBe(2)
      }
    },
    MINUTES,
  )
})

describe('a change of the master key that was cut short', () => {
  const names = () => readdir(join(server.data, 'secrets'))
  const at = (name: string) => join(server.data, 'secrets', name)

  test(
    'before it took effect leaves the old one in force',
    async () => {
      const { code } = (await call('POST', '/v1/invites', {})).body
      const current = await secretOf('master-key')
      await server.kill('SIGTERM')
      await writeFile(at('master-key.next'), `${Buffer.alloc(32, 5).toString('base64url')}\n`, { mode: 0o600 })
      await server.restart()
      await expectAllToWork(code)
      expect(await secretOf('master-key')).toBe(current)
      // The next change takes what is there.
      expect((await conntext(server.data, 'keys', 'rotate', '--master')).code).toBe(0)
      expect(await names()).not.toContain('master-key.next')
      expect(Buffer.from((await secretOf('master-key')).trim(), 'base64url').equals(Buffer.alloc(32, 5))).toBe(true)
      await expectAllToWork(code)
    },
    MINUTES,
  )

  test(
    'after it took effect is ended at the next start',
    async () => {
      const { code } = (await call('POST', '/v1/invites', {})).body
      const inForce = await secretOf('master-key')
      await server.kill('SIGTERM')
      await rename(at('master-key'), at('master-key.next'))
      await writeFile(at('master-key'), `${Buffer.alloc(32, 6).toString('base64url')}\n`, { mode: 0o600 })
      await server.restart()
      await expectAllToWork(code)
      expect(await secretOf('master-key')).toBe(inForce)
      expect(await names()).not.toContain('master-key.next')
    },
    MINUTES,
  )
})

test(
  'a server whose master key is gone does not start, and makes no new one',
  async () => {
    const path = join(server.data, 'secrets', 'master-key')
    await server.kill('SIGTERM')
    await rename(path, `${path}.away`)
    await expect(server.restart()).rejects.toThrow(/The master key is gone: \S+ is missing/)
    await eventually(() => server.output().includes('Put it back from your backup'))
    const { code, err } = await conntext(server.data, 'keys', 'rotate', '--master')
    expect(code).toBe(1)
    expect(err).toContain('The master key is gone')
    expect(existsSync(path)).toBe(false)
    await rename(`${path}.away`, path)
    await server.restart()
    expect((await login()).status).toBe(200)
  },
  MINUTES,
)

describe('a password reset', () => {
  for (const running of [true, false]) {
    test(
      `prints a token that works, with the server ${running ? 'running' : 'at rest'}`,
      async () => {
        const newPassword = `another-long-password-${running}`
        if (!running) await server.kill('SIGTERM')
        const { code, out, err } = await conntext(server.data, 'users', 'reset-password', 'owner')
        if (!running) {
          // Keys too are rotated without a server.
          expect(await conntext(server.data, 'keys', 'rotate')).toMatchObject({ code: 0 })
          await server.restart()
        }
        expect(code).toBe(0)
        expect(out).toMatch(/^[\w-]{43}$/)
        expect(err).not.toContain(out)
        expect((await call('POST', '/v1/auth/password/reset', { token: out, newPassword }, '')).status).toBe(204)
        const { status, body } = await login(newPassword)
        expect(status).toBe(200)
        owner = body
      },
      MINUTES,
    )
  }

  test('of nobody is refused', async () => {
    const { code, out, err } = await conntext(server.data, 'users', 'reset-password', 'nobody')
    expect({ code, out }).toEqual({ code: 1, out: '' })
    expect(err).toBe('conntext: Nobody has this user name')
  })
})

test(
  'what a clock that is far ahead of all that is known keeps from expiring goes on once the operator says that it is right',
  async () => {
    const doubting = async () => {
      const { body } = await call('GET', '/v1/system/health')
      const services = body.services as { service: string; dependencies: { name: string; state: string }[] }[]
      const inDoubt = services.filter((one) =>
        one.dependencies.some(({ name, state }) => name === 'clock' && state !== 'up'),
      )
      return inDoubt.map(({ service }) => service).sort()
    }
    const tables = {
      server_details: ['auth_known_time', 'system_known_time'],
      communications: ['messaging_known_time'],
    }
    for (const [database, names] of Object.entries(tables)) {
      await using admin = await superuser(server.data, database)
      for (const name of names) await admin`update ${admin(name)} set at = now() - interval '1 year'`
    }
    // A machine that a time server keeps right has nothing to be told.
    expect(await doubting()).toEqual(isKeptByNtp(new Date()) ? [] : ['auth', 'messaging', 'system'])
    const { err, code } = await conntext(server.data, 'clock', 'confirm')
    expect([err, code]).toEqual([expect.stringContaining('things expire by that again'), 0])
    expect(await doubting()).toEqual([])
    const recorded = async () => (await call('GET', '/v1/audit/events?action=system.clockConfirmed')).body.items
    expect((await eventually(async () => ((await recorded()).length > 0 ? recorded() : undefined)))[0]).toMatchObject({
      actor: { kind: 'system' },
      outcome: 'done',
    })
  },
  MINUTES,
)

test('an account without a second factor is told so', async () => {
  const { code, err } = await conntext(server.data, 'users', 'disable-mfa', 'owner')
  expect({ code, err }).toEqual({ code: 0, err: 'conntext: owner has no second factor.' })
})

test('a directory that holds no server is refused, and left as it is', async () => {
  const path = await mkdtemp(join(tmpdir(), 'conntext-empty-'))
  const { code, err } = await conntext(path, 'keys', 'list')
  expect(code).toBe(1)
  expect(err).toBe(`conntext: The data directory ${path} holds no ConnText data.`)
  expect(await readdir(path)).toEqual([])
  await rm(path, { recursive: true })
})

describe('a command that is given wrongly ends with 2, and with what would be right', () => {
  const wrong: [args: string[], told: string, beside?: string][] = [
    [[], 'keys rotate [--signing] [--master]'],
    [['keys'], 'keys rotate [--signing] [--master]', 'users'],
    [['keys', 'destroy'], 'keys rotate [--signing] [--master]', 'users'],
    [['keys', 'list', '--master'], 'keys rotate [--signing] [--master]', 'users'],
    [['keys', 'rotate', '--everything'], 'keys rotate [--signing] [--master]', 'users'],
    [['users', 'reset-password', 'owner', 'password'], 'users reset-password USERNAME', 'keys'],
    [['destroy'], '"conntext help" tells all there is.', 'keys'],
  ]
  for (const [args, told, beside] of wrong) {
    test(`conntext ${args.join(' ')}`, async () => {
      const { code, out, err } = await conntext('/nowhere', ...args)
      expect({ code, out }).toEqual({ code: 2, out: '' })
      expect(err).toContain(told)
      if (beside) expect(err).not.toContain(`  ${beside} `)
    })
  }

  test('while help is told, of all or of some', async () => {
    const all = await conntext('/nowhere', 'help')
    expect(all.code).toBe(0)
    expect(all.out).toContain('users disable-mfa USERNAME')
    const some = await conntext('/nowhere', 'help', 'media')
    expect(some).toMatchObject({ code: 0, out: expect.stringMatching(/^media check.*\n +--repair.*$/) })
    expect(await conntext('/nowhere', 'media', 'check', '--help')).toEqual(some)
    expect(await conntext('/nowhere', 'help', 'nothing')).toEqual(all)
  })

  test('and the version', async () => {
    const { version } = await Bun.file(new URL('../package.json', import.meta.url)).json()
    for (const one of ['version', '--version']) {
      expect(await conntext('/nowhere', one)).toEqual({ code: 0, out: version, err: '' })
    }
  })
})

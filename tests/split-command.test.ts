import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { randomBytes } from 'node:crypto'
import { createInvite, login, unwrap } from '@conntext/sdk'
import { canSplit, type Split, type SplitProcess, startSplit } from '@conntext/testing/split'
import { conntextWith } from './command/conntext.ts'
import { join, type Person } from './conversation/people.ts'

const possible = await canSplit()

describe.skipIf(!possible)("the operator's command and the split deployment", () => {
  let split: Split
  let owner: Person
  let masterKey: string

  beforeAll(async () => {
    split = await startSplit({ gateways: 1, messaging: 1 })
    owner = await join(split.urls[0]!, 'olga', { setupCode: split.setupCode })
    masterKey = split.operatorEnv.CONNTEXT_MASTER_KEY!
  }, 180_000)

  afterAll(async () => {
    owner?.gateway.close()
    await split?.[Symbol.asyncDispose]()
  }, 60_000)

  const command = (...args: string[]) => conntextWith({ ...split.operatorEnv, CONNTEXT_MASTER_KEY: masterKey }, ...args)
  const logIn = async () => {
    const body = { login: 'olga', password: 'a long enough password' }
    return unwrap(login({ client: owner.api.client, body }))
  }
  const restartWith = async (keys: string) => {
    const restart = async (one: SplitProcess) => {
      expect(await one.kill('SIGTERM')).toBe(0)
      await one.start({ CONNTEXT_MASTER_KEY: keys })
    }
    await Promise.all([split.auth, split.system].map(restart))
  }

  test('accounts, files and keys are looked at where they are', async () => {
    const users = await command('users', 'list')
    expect(users).toMatchObject({ code: 0 })
    expect(users.out).toContain('olga')
    expect(await command('media', 'check')).toMatchObject({ code: 0, out: 'all files are in order' })
    const keys = await command('keys', 'list')
    expect(keys.out.split('\n').length).toBeGreaterThan(2)
  }, 60_000)

  test('a doctor looks at every engine and service that it is told of', async () => {
    const { code, out } = await command('doctor')
    expect({ code, out }).toMatchObject({ code: 0 })
    for (const what of ['Postgres', 'clock of Postgres', 'order of time', 'ClickHouse', 'object store', 'Redis']) {
      expect(out).toMatch(new RegExp(`^ok {7}${what}: `, 'm'))
    }
    for (const { name, url } of [split.auth, split.system, ...split.messaging, split.realtime]) {
      expect(out).toContain(`${name} at ${url}: ready`)
    }
    const voice = await command('doctor', 'voice')
    expect(voice.out).toMatch(/^ok {7}media workers: 1 up$/m)
    expect(voice.out).toMatch(/^ok {7}port \d+: answers over UDP and TCP/m)
    await split.realtime.kill('SIGKILL')
    const voiceless = await command('doctor', 'voice')
    expect(voiceless.code).toBe(1)
    expect(voiceless.out).toContain('FAULT    realtime: The realtime service can')
    const without = await command('doctor')
    expect(without.code).toBe(1)
    expect(without.out).toContain(`FAULT    realtime at ${split.realtime.url}: nothing answers`)
    await split.realtime.start()
    expect(out + without.out).not.toContain(masterKey)
  }, 60_000)

  test('the master key is changed while everything serves', async () => {
    const before = await command('keys', 'list')
    const refused = await command('keys', 'rotate', '--master')
    expect(refused.code).toBe(1)
    expect(refused.err).toContain('Set CONNTEXT_MASTER_KEY to the present key and the new one')
    // What can't be done to the end isn't begun.
    expect(await command('keys', 'list')).toEqual(before)

    const [old, next] = [masterKey, randomBytes(32).toString('base64url')]
    masterKey = `${old},${next}`
    await restartWith(masterKey)
    const rotated = await command('keys', 'rotate', '--master', '--signing')
    expect(rotated).toMatchObject({ code: 0, out: '' })
    await logIn()
    masterKey = next
    await restartWith(next)
    await logIn()
    await unwrap(createInvite({ client: owner.api.client, body: {} }))
    // The old one opens nothing any more.
    const list = await conntextWith({ ...split.operatorEnv, CONNTEXT_MASTER_KEY: old }, 'users', 'disable-mfa', 'olga')
    expect(list.code).toBe(1)
  }, 180_000)
})

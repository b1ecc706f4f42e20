import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import { createApiToken, createChannel, unwrap } from '@conntext/sdk'
import { eventually } from '@conntext/testing'
import { canSplit, type Split, startSplit } from '@conntext/testing/split'
import { CONNTEXT, conntextWith } from './command/conntext.ts'
import { join, type Person } from './conversation/people.ts'

const possible = await canSplit()

type Heard = { id: string; name: string | undefined }

/** Follows the trail through a gateway, from behind `lastId` on, for as long as the connection holds. */
async function follow(url: string, person: Person, lastId?: string) {
  const answer = await fetch(`${url}/v1/audit/tail?action=channel.created`, {
    headers: {
      authorization: `Bearer ${await person.api.accessToken()}`,
      ...(lastId !== undefined && { 'last-event-id': lastId }),
    },
  })
  expect(answer.status).toBe(200)
  const heard: Heard[] = []
  const state = { ended: false }
  const read = async () => {
    const utf8 = new TextDecoder()
    let text = ''
    for await (const chunk of answer.body!) {
      text += utf8.decode(chunk, { stream: true })
      const blocks = text.split('\n\n')
      text = blocks.pop()!
      for (const block of blocks) {
        const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1]
        const id = field('id')
        const data = field('data')
        if (id !== undefined) heard.push({ id, name: data && JSON.parse(data).data.name })
      }
    }
  }
  void read()
    .catch(() => {})
    .finally(() => {
      state.ended = true
    })
  // Where it begins is told first: what happens from now on will be heard.
  await eventually(() => heard[0])
  return {
    state,
    names: () => heard.flatMap(({ name }) => name ?? []),
    lastId: () => heard.at(-1)!.id,
  }
}

describe.skipIf(!possible)('the audit trail of a split deployment', () => {
  let split: Split
  let owner: Person
  let directory: string

  beforeAll(async () => {
    directory = await mkdtemp(joinPath(tmpdir(), 'conntext-audit-split-'))
    split = await startSplit({ messaging: 1 })
    owner = await join(split.urls[1]!, 'olga', { setupCode: split.setupCode })
  }, 180_000)

  afterAll(async () => {
    owner?.gateway.close()
    await split?.[Symbol.asyncDispose]()
    await rm(directory, { recursive: true, force: true })
  }, 60_000)

  const make = (name: string) =>
    unwrap(createChannel({ client: owner.api.client, body: { name, type: 'text' } })).then(() => name)

  test('is followed through every gateway; whose gateway is killed goes on through another, and misses nothing', async () => {
    const [first, second] = split.urls as [string, string]
    const one = await follow(first, owner)
    const other = await follow(second, owner)
    const names = [await make('before-1'), await make('before-2')]
    for (const tail of [one, other]) await eventually(() => tail.names().length >= 2)
    await split.gateways[0]!.kill('SIGKILL')
    await eventually(() => one.state.ended)
    names.push(await make('meanwhile'))
    const again = await follow(second, owner, one.lastId())
    names.push(await make('after'))
    for (const tail of [again, other]) await eventually(() => tail.names().includes('after'))
    expect([...one.names(), ...again.names()]).toEqual(names)
    expect(other.names()).toEqual(names)
    await split.gateways[0]!.start()
  }, 60_000)

  test('is verified by the operator while events come in, against a checkpoint from before', async () => {
    const kept = await conntextWith(split.operatorEnv, 'audit', 'checkpoint')
    expect(kept).toMatchObject({ code: 0 })
    const file = joinPath(directory, 'checkpoint.txt')
    await writeFile(file, `${kept.out}\n`)
    const coming = { over: false, count: 0 }
    const load = (async () => {
      for (; !coming.over && coming.count < 50; coming.count += 1) await make(`while-${coming.count}`)
    })()
    const verified = await conntextWith(split.operatorEnv, 'audit', 'verify', '--against', file).finally(() => {
      coming.over = true
    })
    await load
    expect(verified).toMatchObject({ code: 0, out: '' })
    expect(verified.err).toContain('all as it was written')
    expect(coming.count).toBeGreaterThan(0)
  }, 60_000)

  test('is exported and followed by the command, with an API token, wherever the server is', async () => {
    const body = { name: 'audit', scopes: ['audit.view' as const], password: 'a long enough password' }
    const { token } = await unwrap(createApiToken({ client: owner.api.client, body }))
    const [url] = split.urls as [string]
    const command = (...args: string[]) => conntextWith({ ...split.operatorEnv, CONNTEXT_TOKEN: token }, ...args)
    const followed = async () => {
      const { out } = await command('audit', 'export', '--url', url, '--action', 'audit.followed')
      return out.split('\n').length
    }
    const before = await followed()
    const tail = Bun.spawn([...CONNTEXT, 'audit', 'tail', '--url', url, '--action', 'channel.created'], {
      env: { ...process.env, CONNTEXT_TOKEN: token },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const told = { text: '' }
    const reading = (async () => {
      for await (const chunk of tail.stdout) told.text += new TextDecoder().decode(chunk)
    })()
    // The trail tells of it once it has begun.
    await eventually(async () => (await followed()) > before)
    await make('told')
    await eventually(() => told.text.includes('{"name":"told"'))
    expect(told.text).toMatch(/^\S+Z {2}info +done +system\.channel\.created {2}by user \S+ from \S+ {2}on channel /)
    tail.kill()
    await reading

    const file = joinPath(directory, 'audit.csv')
    const exported = await command(
      'audit',
      'export',
      '--url',
      url,
      '--format',
      'csv',
      '--action',
      'channel.*',
      '--to',
      file,
    )
    expect(exported).toMatchObject({ code: 0, out: '' })
    const lines = (await readFile(file, 'utf8')).trim().split('\n')
    expect(exported.err).toContain(`${lines.length - 1} events`)
    expect(lines.some((line) => line.includes('told'))).toBe(true)
    expect((await command('audit', 'export', '--url', url, '--to', file)).code).toBe(2)
    const refused = await conntextWith({ CONNTEXT_TOKEN: 'nobody' }, 'audit', 'tail', '--url', url)
    expect(refused).toMatchObject({ code: 1, out: '' })
    expect(refused.err).toContain('refuses it (401)')
  }, 60_000)
})

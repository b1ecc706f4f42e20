import { describe, expect, test } from 'bun:test'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Media } from '@conntext/contracts'
import { openS3Store } from '@conntext/object-store'
import { objectStorage, SETUP_CODE, startServerProcess } from '@conntext/testing'

const server = await objectStorage()

type Session = { accessToken: string }

const settings = (change: Record<string, string> = {}) => ({
  CONNTEXT_S3_ENDPOINT: server!.endpoint,
  CONNTEXT_S3_BUCKET: `t-${crypto.randomUUID()}`,
  CONNTEXT_S3_ACCESS_KEY: server!.accessKey,
  CONNTEXT_S3_SECRET_KEY: server!.secretKey,
  ...change,
})

const messageOf = (starting: Promise<AsyncDisposable>): Promise<string> =>
  starting.then(
    async (started) => {
      await started[Symbol.asyncDispose]()
      return 'it started'
    },
    (error: Error) => error.message,
  )

describe.skipIf(!server)('a server with a bucket', () => {
  test('keeps its files there', async () => {
    const place = settings()
    await using running = await startServerProcess(place)
    const post = async <T>(path: string, headers: Record<string, string>, body: string | Uint8Array<ArrayBuffer>) =>
      (await (await fetch(`${running.url}${path}`, { method: 'POST', headers, body })).json()) as T
    const olga = { username: 'olga', password: 'correct horse battery', setupCode: SETUP_CODE }
    const json = { 'content-type': 'application/json' }
    const { accessToken } = await post<Session>('/v1/auth/register', json, JSON.stringify(olga))
    const authorization = `Bearer ${accessToken}`
    const bytes = new Uint8Array(10 * 2 ** 20).fill(7)
    const media = await post<Media>('/v1/uploads?filename=a.bin', { authorization }, bytes)
    const answer = await fetch(`${running.url}/v1/media/${media.id}/content`, { headers: { authorization } })
    expect(Buffer.compare(await answer.bytes(), bytes)).toBe(0)
    const options = { ...server!, bucket: place.CONNTEXT_S3_BUCKET }
    expect((await (await openS3Store(options)).list()).objects.map(({ size }) => size)).toEqual([bytes.length])
    const folder = join(running.data, 'media')
    expect(existsSync(folder) ? readdirSync(folder) : []).toEqual([])
    expect(running.output()).not.toContain(server!.secretKey)
  })

  test('does not start with credentials that are refused, and says which settings to look at', async () => {
    const wrong = settings({ CONNTEXT_S3_SECRET_KEY: 'a-wrong-secret' })
    const message = await messageOf(startServerProcess(wrong))
    expect(message).toMatch(/CONNTEXT_S3_ACCESS_KEY: .*CONNTEXT_S3_SECRET_KEY.*SignatureDoesNotMatch/)
    for (const secret of ['a-wrong-secret', server!.accessKey]) expect(message).not.toContain(secret)
  })

  test('does not start where nobody listens', async () => {
    const message = await messageOf(startServerProcess(settings({ CONNTEXT_S3_ENDPOINT: 'http://127.0.0.1:1' })))
    expect(message).toMatch(/CONNTEXT_S3_ENDPOINT: names an object store that can't be used/)
  })
})

import { afterAll, beforeAll, expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import { unwrap, updateServer } from '@conntext/sdk'
import { type Deployment, SETUP_CODE, startDeployment } from '@conntext/testing'
import { Upload } from 'tus-js-client'
import { pseudoRandomFile } from './conversation/corpus.ts'
import { join, type Person } from './conversation/people.ts'
import { cuttingProxy } from './uploads/cutting-proxy.ts'

const MIB = 1024 * 1024
// CONNTEXT_TEST_UPLOAD_MIB=1024 uploads a gigabyte.
const SIZE = Number(process.env.CONNTEXT_TEST_UPLOAD_MIB ?? 64) * MIB
const CUTS = 10

let server: Deployment
let owner: Person
let directory: string

beforeAll(async () => {
  directory = await mkdtemp(joinPath(tmpdir(), 'conntext-uploads-'))
  server = await startDeployment()
  owner = await join(server.url, 'olga', { setupCode: SETUP_CODE })
  await unwrap(updateServer({ client: owner.api.client, body: { limits: { maxFileBytes: 4096 * MIB } } }))
}, 120_000)

afterAll(async () => {
  owner?.gateway.close()
  await server?.[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
}, 60_000)

/** A file that is nowhere the same, and its hash; never in memory as a whole. */
async function makeFile(size: number) {
  const path = joinPath(directory, 'film.bin')
  const hash = createHash('sha256')
  await using file = await open(path, 'w')
  const block = pseudoRandomFile(MIB)
  for (let at = 0; at < size; at += MIB) {
    new DataView(block.buffer, block.byteOffset).setFloat64(0, at)
    hash.update(block)
    await file.write(block)
  }
  return { path, sha256: hash.digest('hex') }
}

const authorization = async () => `Bearer ${await owner.api.accessToken()}`

test('a file that is cut off ten times, and whose server is killed once, arrives as it was sent', async () => {
  const { path, sha256 } = await makeFile(SIZE)
  const cuts = Array.from({ length: CUTS }, (_, index) => Math.floor((SIZE / (CUTS + 2)) * (0.5 + (index % 3) / 3)))
  using proxy = await cuttingProxy(Number(new URL(server.url).port), cuts)
  const bearer = await authorization()
  const offsets: number[] = []
  let begun = 0
  const done = Promise.withResolvers<void>()
  const upload = new Upload(createReadStream(path), {
    endpoint: `${proxy.url}/v1/uploads`,
    headers: { authorization: bearer },
    metadata: { filename: 'film.bin', filetype: 'video/mp4' },
    // In a row; what was added in between starts them anew.
    retryDelays: [0, 100, 500, 1000, ...Array.from({ length: 60 }, () => 1000)],
    onAfterResponse(request, response) {
      if (request.getMethod() === 'POST' && response.getStatus() === 201) begun += 1
      if (request.getMethod() === 'HEAD' && response.getStatus() === 200) {
        offsets.push(Number(response.getHeader('Upload-Offset')))
      }
    },
    onSuccess: () => done.resolve(),
    onError: (error) => done.reject(error),
  })
  upload.start()
  const killing = (async () => {
    while (proxy.cutsLeft() > CUTS / 2) await Bun.sleep(5)
    await server.kill('SIGKILL')
    await server.restart()
  })()
  await Promise.all([done.promise, killing])
  expect(proxy.cutsLeft()).toBe(0)
  // Where it was cut off, it went on: what was there for good was not sent again.
  expect(begun).toBe(1)
  // One cut may be one with the kill, and one may fall upon the question itself: each other is followed by a question.
  expect(offsets.length).toBeGreaterThanOrEqual(CUTS - 2)
  expect(offsets).toEqual(offsets.toSorted((a, b) => a - b))
  // More of the cuts find the same offset when the machine is busy.
  expect(new Set(offsets).size).toBeGreaterThan(2)

  const headers = { authorization: await authorization() }
  const media = `${server.url}/v1/media/${upload.url!.slice(-36)}`
  expect(await (await fetch(media, { headers })).json()).toMatchObject({ filename: 'film.bin', size: SIZE, sha256 })
  const hash = createHash('sha256')
  for await (const chunk of (await fetch(`${media}/content`, { headers })).body!) hash.update(chunk)
  expect(hash.digest('hex')).toBe(sha256)
}, 600_000)

test('a client that is closed goes on another day, and one that gives up leaves nothing', async () => {
  const content = pseudoRandomFile(3 * MIB)
  const options = {
    endpoint: `${server.url}/v1/uploads`,
    headers: { authorization: await authorization() },
    chunkSize: MIB,
    metadata: { filename: 'späte Größe.bin' },
  }
  const stopped = Promise.withResolvers<string>()
  const first = new Upload(Buffer.from(content), {
    ...options,
    onChunkComplete: (_, accepted) => {
      if (accepted >= MIB) void first.abort().then(() => stopped.resolve(first.url!))
    },
  })
  first.start()
  const uploadUrl = await stopped.promise
  const done = Promise.withResolvers<void>()
  new Upload(Buffer.from(content), {
    ...options,
    uploadUrl,
    onSuccess: () => done.resolve(),
    onError: done.reject,
  }).start()
  await done.promise
  const id = uploadUrl.slice(-36)
  const media = await (await fetch(`${server.url}/v1/media/${id}`, { headers: options.headers })).json()
  expect(media).toMatchObject({
    filename: 'späte Größe.bin',
    size: content.length,
    sha256: createHash('sha256').update(content).digest('hex'),
  })

  const begun = Promise.withResolvers<void>()
  const second: Upload = new Upload(Buffer.from(content), { ...options, onChunkComplete: () => begun.resolve() })
  second.start()
  await begun.promise
  await second.abort(true)
  const head = { method: 'HEAD', headers: { ...options.headers, 'tus-resumable': '1.0.0' } }
  expect((await fetch(second.url!, head)).status).toBe(404)
}, 60_000)

import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Media } from '@conntext/sdk'
import { type Deployment, SETUP_CODE, startDeployment, topology } from '@conntext/testing'
import { pseudoRandomFile, sha256 } from './conversation/corpus.ts'
import { join, type Person } from './conversation/people.ts'
import { upload } from './conversation/scenario.ts'
import { heldBy } from './download/held.ts'

// Over a real connection: what Bun makes of an answer on the wire is not what a handler returns.
let server: Deployment
let owner: Person
let media: Media
const file = pseudoRandomFile(5_000_000)

beforeAll(async () => {
  server = await startDeployment()
  owner = await join(server.url, 'olga', { setupCode: SETUP_CODE })
  media = await upload(owner, file, 'film.bin')
}, 120_000)

afterAll(async () => {
  owner?.gateway.close()
  await server?.[Symbol.asyncDispose]()
}, 120_000)

const get = async (headers: Record<string, string> = {}, method = 'GET', id = media.id) =>
  fetch(`${server.url}/v1/media/${id}/content`, {
    method,
    headers: { authorization: `Bearer ${await owner.api.accessToken()}`, ...headers },
  })

// Bun's server sends what streams from another process in chunks, whatever length it is told; of files it tells it.
const told = (length: number) => (topology === 'split' ? null : String(length))

test('a download tells its length, whole and in part', async () => {
  const whole = await get()
  expect(whole.status).toBe(200)
  expect(whole.headers.get('content-length')).toBe(told(5_000_000))
  expect(whole.headers.get('accept-ranges')).toBe('bytes')
  expect(sha256(await whole.bytes())).toBe(media.sha256)
  const part = await get({ range: 'bytes=1000000-1999999' })
  expect(part.status).toBe(206)
  expect(part.headers.get('content-length')).toBe(told(1_000_000))
  expect(part.headers.get('content-range')).toBe('bytes 1000000-1999999/5000000')
  expect(sha256(await part.bytes())).toBe(sha256(file.slice(1_000_000, 2_000_000)))
  expect(part.headers.get('content-type')).toBe('application/octet-stream')
})

test('a Range whose If-Range does not hold gets the whole', async () => {
  const whole = await get({ range: 'bytes=0-9', 'if-range': '"another"' })
  expect(whole.status).toBe(200)
  expect((await whole.bytes()).length).toBe(5_000_000)
})

test('HEAD tells the length and sends nothing', async () => {
  const head = await get({}, 'HEAD')
  expect(head.status).toBe(200)
  expect(head.headers.get('content-length')).toBe('5000000')
  expect((await head.bytes()).length).toBe(0)
})

test('an empty file is downloaded as what it is', async () => {
  const empty = await upload(owner, new Uint8Array(0), 'empty.txt')
  const answer = await get({}, 'GET', empty.id)
  expect(answer.status).toBe(200)
  expect((await answer.bytes()).length).toBe(0)
})

test('clients that leave in the middle leave nothing open behind', async () => {
  const held = async () => (await Promise.all(server.processes.map(({ pid }) => heldBy(pid)))).flat()
  const leave = async () => {
    const controller = new AbortController()
    const headers = { authorization: `Bearer ${await owner.api.accessToken()}` }
    const answer = await fetch(`${server.url}/v1/media/${media.id}/content`, { headers, signal: controller.signal })
    await answer.body!.getReader().read()
    controller.abort()
  }
  await Promise.all(Array.from({ length: 30 }, () => leave().catch(() => {})))
  // One look that finds nothing is the answer: in the next one the processes may be speaking with each other.
  let rest = await held()
  for (
    const deadline = performance.now() + 20_000;
    rest.length > 0 && performance.now() < deadline;
    rest = await held()
  )
    await Bun.sleep(50)
  expect(rest).toEqual([])
})

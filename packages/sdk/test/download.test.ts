import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test'
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Api, download, FileChanged, ProblemError } from '../src/index.ts'
import { tokenOf } from './support.ts'

const file = crypto.getRandomValues(new Uint8Array(65_536)).toBase64().repeat(40)
const bytes = Buffer.from(file)

let etag = '"one"'
/** How many bytes the next answers give before their connection is cut, as soon as they have been read; or at once. */
let cuts: number[] = []
let held: { upTo: number; cut(): void } | undefined
let asked: IncomingHttpHeaders[] = []
/** What the next answers are instead, after the first. */
let refusals: { status: number; body: string }[] = []

const server = createServer(({ headers, url }, answer) => {
  asked.push(headers)
  if (url !== '/v1/file') {
    answer.writeHead(404, { 'content-type': 'application/problem+json' })
    return void answer.end(JSON.stringify({ title: 'No such file', status: 404, code: 'file.notFound' }))
  }
  const refusal = asked.length > 1 ? refusals.shift() : undefined
  if (refusal) return void answer.writeHead(refusal.status).end(refusal.body)
  const isSame = headers['if-range'] === undefined || headers['if-range'] === etag
  const start = isSame ? Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1]) : 0
  if (start >= bytes.length) {
    answer.writeHead(416, { 'content-range': `bytes */${bytes.length}` })
    return void answer.end()
  }
  const range = { 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` }
  // As a server that tells no length of what it streams.
  answer.writeHead(isSame ? 206 : 200, { etag, ...(isSame && range) })
  const cut = cuts.shift()
  if (cut === undefined) return void answer.end(bytes.subarray(start))
  if (cut === 0) return void answer.socket!.destroy()
  answer.write(bytes.subarray(start, start + cut))
  held = { upTo: start + cut, cut: () => void answer.socket!.destroy() }
})
let api: Api

beforeAll(async () => {
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const accessToken = tokenOf(600)
  const at = new Date(Date.now() + 600_000).toISOString()
  const tokens = { accessToken, accessTokenExpiresAt: at, refreshToken: 'x', refreshTokenExpiresAt: at }
  api = new Api({ baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, tokens })
})
afterAll(() => void server.close())
beforeEach(() => {
  etag = '"one"'
  cuts = []
  asked = []
  refusals = []
})

async function textOf(body: ReadableStream<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = []
  let got = 0
  const reader = body.getReader()
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    chunks.push(read.value)
    got += read.value.length
    if (held && got >= held.upTo) {
      held.cut()
      held = undefined
    }
  }
  return Buffer.concat(chunks).toString()
}
const fast = { pauseMs: 1 }

test('a download that is cut off again and again goes on where it was', async () => {
  cuts = [1_000_000, 0, 500_000]
  const { size, body, offset } = await download(api, '/v1/file', fast)
  expect([size, offset]).toEqual([bytes.length, 0])
  expect(await textOf(body)).toBe(file)
  expect(asked.length).toBeGreaterThanOrEqual(4)
  expect(asked[0]!['if-range']).toBeUndefined()
  const starts = asked.slice(1).map(({ range }) => Number(/^bytes=(\d+)-$/.exec(range!)![1]))
  expect(starts).toEqual(starts.toSorted((a, b) => a - b))
  expect(starts.at(-1)).toBeGreaterThan(0)
  expect(asked.slice(1).every(({ 'if-range': condition }) => condition === etag)).toBe(true)
})

test('one that was begun earlier is gone on with, begun anew where it is another file, and nothing where it was whole', async () => {
  const rest = await download(api, '/v1/file', { from: { offset: 7, etag } })
  expect([rest.offset, await textOf(rest.body)]).toEqual([7, file.slice(7)])
  const other = await download(api, '/v1/file', { from: { offset: 7, etag: '"other"' } })
  expect([other.offset, await textOf(other.body)]).toEqual([0, file])
  const whole = await download(api, '/v1/file', { from: { offset: bytes.length, etag } })
  expect([whole.offset, whole.size, await textOf(whole.body)]).toEqual([bytes.length, bytes.length, ''])
})

test('a file that becomes another one on the way is not pieced together', async () => {
  cuts = [100_000]
  const { body } = await download(api, '/v1/file', fast)
  etag = '"two"'
  await expect(textOf(body)).rejects.toBeInstanceOf(FileChanged)
})

test('what is refused, and what brings no byte more however often it is tried, fails', async () => {
  await expect(download(api, '/v1/nothing')).rejects.toBeInstanceOf(ProblemError)
  cuts = [1_000, ...Array<number>(20).fill(0)]
  const { body } = await download(api, '/v1/file', { ...fast, attempts: 3 })
  await expect(textOf(body)).rejects.toThrow()
  expect(asked.length).toBeLessThan(10)
})

test('one that is given up asks for nothing more', async () => {
  const over = new AbortController()
  cuts = [1_000]
  const { body } = await download(api, '/v1/file', { pauseMs: 60_000, signal: over.signal })
  const reading = textOf(body)
  over.abort(new Error('enough'))
  await expect(reading).rejects.toThrow()
})

const problem = (status: number, more = {}) => ({
  status,
  body: JSON.stringify({ title: 'Not now', status, code: 'dependency.away', ...more }),
})

test('a server that is not there yet, or whose proxy says so, is waited for', async () => {
  cuts = [1_000_000]
  refusals = [{ status: 502, body: '<html>Bad Gateway</html>' }, problem(503), problem(429, { retryAfter: 0 })]
  const { body } = await download(api, '/v1/file', fast)
  expect(await textOf(body)).toBe(file)
  expect(refusals).toEqual([])
})

test('a refusal on the way that is no matter of time ends it', async () => {
  cuts = [1_000_000]
  refusals = [problem(410)]
  const { body } = await download(api, '/v1/file', fast)
  await expect(textOf(body)).rejects.toMatchObject({ name: 'ProblemError', status: 410 })
  expect(asked).toHaveLength(2)
})

test('an answer that is neither the file nor a problem says so', async () => {
  const page = async () => new Response('<html>Welcome to the hotel</html>', { status: 200 })
  const elsewhere = new Api({
    baseUrl: 'http://localhost',
    tokens: api.tokens!,
    fetch: page as unknown as typeof fetch,
  })
  await expect(download(elsewhere, '/v1/file')).rejects.toThrow('200')
})

test('who no longer reads is not waited for: what was being asked is given up', async () => {
  const again = Promise.withResolvers<void>()
  const givenUp = Promise.withResolvers<void>()
  let answers = 0
  const flaky = async (_: string, { signal }: RequestInit) => {
    answers += 1
    if (answers > 1) {
      again.resolve()
      return new Promise<Response>((_resolve, reject) => {
        signal?.addEventListener('abort', () => {
          givenUp.resolve()
          reject(signal.reason)
        })
      })
    }
    let isGiven = false
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (isGiven) return controller.error(new Error('cut'))
        isGiven = true
        controller.enqueue(bytes.subarray(0, 10))
      },
    })
    return new Response(body, { status: 206, headers: { etag, 'content-range': 'bytes 0-19/20' } })
  }
  const other = new Api({ baseUrl: 'http://localhost', tokens: api.tokens!, fetch: flaky as unknown as typeof fetch })
  const { body } = await download(other, '/v1/file', fast)
  const reader = body.getReader()
  await reader.read()
  const next = reader.read()
  await again.promise
  await reader.cancel('enough')
  await givenUp.promise
  expect(await next).toEqual({ done: true, value: undefined })
  expect(answers).toBe(2)
})

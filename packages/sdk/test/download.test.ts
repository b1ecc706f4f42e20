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

const server = createServer(({ headers, url }, answer) => {
  asked.push(headers)
  if (url !== '/v1/file') {
    answer.writeHead(404, { 'content-type': 'application/problem+json' })
    return void answer.end(JSON.stringify({ title: 'No such file', status: 404, code: 'file.notFound' }))
  }
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

import { eventually } from '@conntext/testing'
import type { Member, Stack } from './stack.ts'

export const TUS = { 'tus-resumable': '1.0.0' }
export const PART = { ...TUS, 'content-type': 'application/offset+octet-stream' }

type Body = NonNullable<RequestInit['body']>

export const base64 = (text: string) => Buffer.from(text).toString('base64')

/** What a tus client does, request by request. */
export function tusClient(stack: Stack, member: Member) {
  const send = (method: string, path: string, headers: Record<string, string>, body?: Body) =>
    stack.request(method, path, member, { headers, ...(body === undefined ? {} : { body }) })
  return {
    send,
    begin: (size: number, headers: Record<string, string> = {}, body?: Body) =>
      send('POST', '/v1/uploads', { ...TUS, 'upload-length': String(size), ...headers }, body),
    async begun(size: number, filename = 'file') {
      const metadata = { 'upload-metadata': `filename ${base64(filename)}` }
      const response = await send('POST', '/v1/uploads', { ...TUS, 'upload-length': String(size), ...metadata })
      return response.headers.get('location')!
    },
    part: (path: string, at: number, body: Body, headers: Record<string, string> = {}) =>
      send('PATCH', path, { ...PART, 'upload-offset': String(at), ...headers }, body),
    async offset(path: string) {
      const response = await send('HEAD', path, TUS)
      return response.status === 200 ? Number(response.headers.get('upload-offset')) : response.status
    },
  }
}

export const code = async (response: Response) =>
  `${response.status} ${((await response.json().catch(() => ({}))) as { code?: string }).code}`

/** A body that goes on as long as one feeds it. */
export function openBody() {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
  const writer = writable.getWriter()
  return { readable, write: (bytes: Uint8Array) => writer.write(bytes), end: () => writer.close().catch(() => {}) }
}

/** Waits until an upload has so many bytes, whoever asks: it takes nothing over. */
export const arrived = (stack: Stack, member: Member, path: string, offset: number) =>
  eventually(async () => (await stack.json<{ offset: number }>('GET', path, member)).body.offset === offset)

export const usage = async (stack: Stack, holder: string) => {
  const [row] = await stack.sql`select bytes, files, reserved from media_usage where holder = ${holder}`
  return row && [Number(row.bytes), row.files, Number(row.reserved)]
}

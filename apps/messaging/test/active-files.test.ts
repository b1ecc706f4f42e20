import { describe, expect, test } from 'bun:test'
import type { Media } from '@conntext/contracts'
import { eventually } from '@conntext/testing'
import { picture } from './picture-files.ts'
import { startMessaging } from './stack.ts'

const SCRIPT = '<script>alert(document.domain)</script>'
const SVG = '<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(1)</script></svg>'
const ZIP = Buffer.concat([Buffer.from('PK\x03\x04\x14\0\0\0\x08\0', 'latin1'), Buffer.alloc(40), Buffer.from('bomb')])

/** What a browser is told to do with each; a picture with something behind its end is a picture without it. */
const files: [what: string, bytes: () => Promise<Buffer> | Buffer, type: string, disposition: string][] = [
  ['HTML', () => Buffer.from(`<!doctype html><body>${SCRIPT}`), 'text/plain; charset=utf-8', 'inline'],
  ['SVG with a script', () => Buffer.from(SVG), 'text/plain; charset=utf-8', 'inline'],
  ['SVG as XML', () => Buffer.from(`<?xml version="1.0"?>${SVG}`), 'application/xml', 'attachment'],
  ['SVG in UTF-16', () => Buffer.from(`\ufeff${SVG}`, 'utf16le'), 'application/octet-stream', 'attachment'],
  [
    'XHTML',
    () => Buffer.from(`<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml">${SCRIPT}</html>`),
    'application/xml',
    'attachment',
  ],
  [
    'PDF',
    () => Buffer.from('%PDF-1.7\n1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert(1))>>>>'),
    'application/pdf',
    'attachment',
  ],
  ['a ZIP bomb', () => ZIP, 'application/zip', 'attachment'],
  [
    'GIF and script at once',
    () => Buffer.from(`GIF89a/*${'\0'.repeat(20)}*/=1;alert(1)`),
    'application/octet-stream',
    'attachment',
  ],
  [
    'PNG with HTML behind it',
    async () => Buffer.concat([await picture().png().toBuffer(), Buffer.from(SCRIPT)]),
    'image/png',
    'inline',
  ],
  [
    'JPEG with a ZIP behind it',
    async () => Buffer.concat([await picture().jpeg().toBuffer(), ZIP]),
    'image/jpeg',
    'inline',
  ],
  ['a program', () => Buffer.concat([Buffer.from('MZ'), Buffer.alloc(200)]), 'application/x-msdownload', 'attachment'],
]

describe('a file that would do something', () => {
  test.each(files)('(%s) is served so that no browser lets it', async (what, make, type, disposition) => {
    await using stack = await startMessaging()
    const ann = await stack.authority.member()
    const bytes = await make()
    const { body } = await stack.upload(ann, bytes, '?filename=photo.html')
    await eventually(async () => (await stack.json<Media>('GET', `/v1/media/${body.id}`, ann)).body.state === 'ready')
    const { headers, ...response } = await answer(await stack.request('GET', `/v1/media/${body.id}/content`, ann))
    expect([what, headers.get('content-type')]).toEqual([what, type])
    expect(headers.get('content-disposition')).toStartWith(`${disposition}; filename="photo.html"`)
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('content-security-policy')).toBe("sandbox; default-src 'none'")
    if (type.startsWith('image/')) {
      expect(response.bytes.includes('script')).toBe(false)
      expect(response.bytes.includes('PK\x03\x04')).toBe(false)
    } else expect(response.bytes.equals(bytes)).toBe(true)
  })

  test('has a name that lies in no direction, in headers that stay headers', async () => {
    await using stack = await startMessaging()
    const ann = await stack.authority.member()
    const name = '../../\u202egpj.\u2066exe\u2069\r\nset-cookie: x"; filename=evil.html'
    const { body } = await stack.upload(ann, 'x', `?filename=${encodeURIComponent(name)}`)
    const { headers } = await stack.request('GET', `/v1/media/${body.id}/content`, ann)
    expect(body.filename).toBe('gpj.exeset-cookie: x"; filename=evil.html')
    expect(headers.get('set-cookie')).toBeNull()
    expect(headers.get('content-disposition')).toBe(
      'inline; filename="gpj.exeset-cookie: x_; filename=evil.html"; filename*=UTF-8\'\'gpj.exeset-cookie%3A%20x%22%3B%20filename%3Devil.html',
    )
  })
})

const answer = async (response: Response) => ({
  headers: response.headers,
  bytes: Buffer.from(await response.arrayBuffer()),
})

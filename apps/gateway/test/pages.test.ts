import { afterAll, beforeAll, expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { type Stack, startStack } from './support/stack.ts'

let stack: Stack
beforeAll(async () => {
  stack = await startStack()
})
afterAll(async () => {
  await stack[Symbol.asyncDispose]()
})

const PAGES = { '/verify-email': 'Verify your email address', '/reset-password': 'Set a new password' }
const paths = Object.keys(PAGES)
const get = (path: string) => fetch(stack.url + path)
const hashOf = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`

/** What stands in the page's elements of this name, each with its attributes. */
const elements = (html: string, name: string) =>
  [...html.matchAll(new RegExp(`<${name}([^>]*)>([\\s\\S]*?)</${name}>`, 'g'))].map(
    ([, attributes = '', content = '']) => ({ attributes, content }),
  )

test('where the links of mails lead there are pages, for anybody', async () => {
  for (const [path, title] of Object.entries(PAGES)) {
    const response = await get(path)
    expect([path, response.status]).toEqual([path, 200])
    expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8')
    const html = await response.text()
    expect(html).toStartWith('<!doctype html>\n<html lang="en">')
    expect(elements(html, 'title')).toMatchObject([{ content: title }])
    const head = await fetch(stack.url + path, { method: 'HEAD' })
    expect([head.status, await head.text()]).toEqual([200, ''])
  }
  for (const path of ['/verify-email/', '/reset-password/page.js', '/Verify-Email'])
    expect([path, (await get(path)).status]).toEqual([path, 404])
})

test('what a mail program hangs on a link does no harm', async () => {
  expect((await get('/verify-email?utm_source=mail&utm_medium=link')).status).toBe(200)
})

test('a page runs what stands in it and nothing else, and speaks to this server alone', async () => {
  for (const path of paths) {
    const response = await get(path)
    const html = await response.text()
    const scripts = elements(html, 'script')
    const styles = elements(html, 'style')
    expect([scripts.length, styles.length]).toEqual([1, 1])
    expect(response.headers.get('content-security-policy')?.split('; ')).toEqual([
      "default-src 'none'",
      `script-src ${hashOf(scripts[0]!.content)}`,
      `style-src ${hashOf(styles[0]!.content)}`,
      "connect-src 'self'",
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
    ])
    expect(html).not.toMatch(/https?:|\/\/[a-z]|@import|url\(/i)
    expect(html).not.toMatch(/<[^>]+\s(on[a-z]+|style|src|href|action)\s*=/i)
  }
})

test('a page is kept nowhere, tells nobody where one came from, and is taken for nothing but a page', async () => {
  for (const path of paths) {
    expect(Object.fromEntries((await get(path)).headers)).toMatchObject({
      'cache-control': 'no-store',
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
      'cross-origin-opener-policy': 'same-origin',
    })
  }
})

test('every field has a label, is described, and is known to password managers as a new password', async () => {
  const html = await (await get('/reset-password')).text()
  const labelled = elements(html, 'label').map(({ attributes }) => /for="(\w+)"/.exec(attributes)?.[1])
  const fields = [...html.matchAll(/<input id="(\w+)" class="secret"([^>]*)>/g)]
  expect(fields.map(([, id]) => id)).toEqual(['password', 'repeated'])
  for (const [, id, attributes] of fields) {
    expect(labelled).toContain(id)
    expect(attributes).toContain('type="password"')
    expect(attributes).toContain('autocomplete="new-password"')
    for (const described of /aria-describedby="([^"]+)"/.exec(attributes!)![1]!.split(' '))
      expect(html).toContain(`id="${described}"`)
    // Without a name nothing could be sent as a form is, were that allowed.
    expect(attributes).not.toContain(' name=')
  }
  expect(html).toMatch(/<p id="outcome" role="status" aria-live="polite"/)
})

import { afterAll, beforeAll, expect, test } from 'bun:test'
import net from 'node:net'
import { type Deployment, SETUP_CODE, startDeployment } from '@conntext/testing'
import { faultsOfAnswer } from './matrix/check.ts'
import { sendRaw } from './matrix/send.ts'

/** HTTP that no client library sends, byte by byte over a socket. */
let server: Deployment
let token: string

beforeAll(async () => {
  server = await startDeployment()
  const response = await fetch(`${server.url}/v1/auth/register`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username: 'olga', password: 'a long enough password', setupCode: SETUP_CODE }),
  })
  token = ((await response.json()) as { accessToken: string }).accessToken
}, 60_000)

afterAll(() => server?.[Symbol.asyncDispose](), 60_000)

const isUp = async () => {
  const { status } = await fetch(`${server.url}/readyz`)
  return status === 200
}

const message = (...lines: string[]) => `${lines.join('\r\n')}\r\n\r\n`
const HOST = 'Host: localhost'
const JSON_TYPE = 'Content-Type: application/json'
const BODY = '{"login":"olga","password":"not the password"}'

/** Not HTTP, or ambiguous: refused by the parser itself, or by us; never served, never half understood. */
const refused: [string, string | Uint8Array][] = [
  ['an HTTP version that there is not', message('GET /v1/server HTTP/9.9', HOST)],
  ['no version', message('GET /v1/server', HOST)],
  ['HTTP/2 without being asked', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  [
    'a TLS handshake',
    new Uint8Array([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03, 13, 10, 13, 10]),
  ],
  ['no words at all', '\0\0\0\0\r\n\r\n'],
  ['a method of control characters', message('G\x01T /v1/server HTTP/1.1', HOST)],
  ['no Host', message('GET /v1/server HTTP/1.1')],
  ['a NUL in a header', message('GET /v1/server HTTP/1.1', HOST, 'X-Test: a\0b')],
  ['a NUL in the target', message('GET /v1/ser\0ver HTTP/1.1', HOST)],
  ['a header without a colon', message('GET /v1/server HTTP/1.1', HOST, 'nonsense')],
  ['a header with a space in its name', message('GET /v1/server HTTP/1.1', HOST, 'X Test: a')],
  ['a header that goes on in the next line', message('GET /v1/server HTTP/1.1', HOST, 'X-Test: a', ' b')],
  ['a lone line break in a header', message('GET /v1/server HTTP/1.1', HOST, 'X-Request-Id: a\nX-Injected: b')],
  ['20 KB of headers', message('GET /v1/server HTTP/1.1', HOST, `X-Test: ${'x'.repeat(20_000)}`)],
  ['a length that is no number', message('POST /v1/auth/login HTTP/1.1', HOST, JSON_TYPE, 'Content-Length: x')],
  ['a negative length', message('POST /v1/auth/login HTTP/1.1', HOST, JSON_TYPE, 'Content-Length: -5')],
  [
    'a length beyond all numbers',
    message('POST /v1/auth/login HTTP/1.1', HOST, JSON_TYPE, `Content-Length: ${'9'.repeat(40)}`),
  ],
  [
    'two lengths',
    `${message('POST /v1/auth/login HTTP/1.1', HOST, JSON_TYPE, `Content-Length: ${BODY.length}`, 'Content-Length: 5')}${BODY}`,
  ],
  [
    'a length and chunks',
    `${message('POST /v1/auth/login HTTP/1.1', HOST, JSON_TYPE, 'Content-Length: 5', 'Transfer-Encoding: chunked')}0\r\n\r\n`,
  ],
  [
    'an encoding that is chunked only at first sight',
    `${message('POST /v1/auth/login HTTP/1.1', HOST, JSON_TYPE, 'Transfer-Encoding: chunked, identity')}0\r\n\r\n`,
  ],
  [
    'a chunk of a size that is no number',
    `${message('POST /v1/auth/login HTTP/1.1', HOST, JSON_TYPE, 'Transfer-Encoding: chunked')}zz\r\n${BODY}\r\n0\r\n\r\n`,
  ],
  [
    'a chunk beyond all numbers',
    `${message('POST /v1/auth/login HTTP/1.1', HOST, JSON_TYPE, 'Transfer-Encoding: chunked')}ffffffffffffffffff\r\n`,
  ],
  [
    'a file beyond the limit',
    message('POST /v1/uploads HTTP/1.1', HOST, 'Authorization: TOKEN', 'Content-Length: 99999999999'),
  ],
]

test.each(refused)('%s: refused or closed', async (_, bytes) => {
  const sent = typeof bytes === 'string' ? bytes.replace('TOKEN', `Bearer ${token}`) : bytes
  const answer = await sendRaw(server.url, sent)
  if (answer) expect(answer.status === 505 || (answer.status >= 400 && answer.status < 500)).toBe(true)
  expect(await isUp()).toBe(true)
})

test('a second request hidden in the first one’s body is not answered', async () => {
  const hidden = message('GET /v1/server HTTP/1.1', HOST)
  const lengths = ['Content-Length: 4', 'Transfer-Encoding: chunked']
  const answers = await everything(
    `${message('POST /v1/auth/login HTTP/1.1', HOST, JSON_TYPE, ...lengths)}0\r\n\r\n${hidden}`,
  )
  expect(answers).not.toContain('registrationMode')
  expect(await isUp()).toBe(true)
})

/** Unusual, but HTTP: answered like the usual form, or refused. */
const unusual: [string, string, number[]][] = [
  ['an absolute target', message('GET http://localhost/v1/server HTTP/1.1', HOST), [200, 400, 404]],
  ['an absolute target elsewhere', message('GET http://example.org/v1/server HTTP/1.1', HOST), [200, 400, 404]],
  ['HTTP/1.0', message('GET /v1/server HTTP/1.0', HOST), [200, 400, 505]],
  ['a Host of nonsense', message('GET /v1/server HTTP/1.1', 'Host: a b/c?d#e'), [200, 400]],
  ['an empty Host', message('GET /v1/server HTTP/1.1', 'Host:'), [200, 400]],
  ['a long Host', message('GET /v1/server HTTP/1.1', `Host: ${'a'.repeat(5000)}`), [200, 400]],
  ['a target with a fragment', message('GET /v1/server#x HTTP/1.1', HOST), [200, 400, 404]],
  ['a target of bytes', message('GET /v1/s\xc3\xa9rver HTTP/1.1', HOST), [400, 404]],
  ['a target of stars', message('OPTIONS * HTTP/1.1', HOST), [204, 400, 404]],
  ['a tunnel', message('CONNECT example.org:443 HTTP/1.1', HOST), [400, 404, 405]],
  [
    'an upgrade to something else',
    message('GET /v1/gateway HTTP/1.1', HOST, 'Upgrade: h2c', 'Connection: Upgrade'),
    [400, 426],
  ],
  [
    'an upgrade without its key',
    message('GET /v1/gateway HTTP/1.1', HOST, 'Upgrade: websocket', 'Connection: Upgrade'),
    [400, 426],
  ],
]

test.each(unusual)('%s: %s', async (_, bytes, expected) => {
  const answer = await sendRaw(server.url, Buffer.from(bytes, 'latin1'))
  if (answer) {
    expect(expected).toContain(answer.status)
    // What the HTTP parser itself refuses comes without a word, and never got to us.
    if (answer.text !== '') expect(faultsOfAnswer(answer, 'GET')).toEqual([])
  }
  expect(await isUp()).toBe(true)
})

test('a body shorter than it says, and then nothing, ends with the connection', async () => {
  const socket = net.connect(Number(new URL(server.url).port), '127.0.0.1')
  socket.write(`${message('POST /v1/auth/login HTTP/1.1', HOST, JSON_TYPE, 'Content-Length: 1000')}{"login":`)
  await Bun.sleep(300)
  expect(await isUp()).toBe(true)
  socket.destroy()
  expect(await isUp()).toBe(true)
})

test('fifty requests that dribble in keep nobody else waiting', async () => {
  const sockets = Array.from({ length: 50 }, () => net.connect(Number(new URL(server.url).port), '127.0.0.1'))
  for (const socket of sockets) socket.on('error', () => {}).write('GET /v1/server HTTP/1.1\r\nHost: loc')
  const began = performance.now()
  expect(await isUp()).toBe(true)
  expect(performance.now() - began).toBeLessThan(20_000)
  for (const socket of sockets) socket.write('alhost\r\nX-')
  for (const socket of sockets) socket.destroy()
  expect(await isUp()).toBe(true)
})

test('nobody goes on reading a body that is too large', async () => {
  const socket = net.connect(Number(new URL(server.url).port), '127.0.0.1')
  let answer = ''
  const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()))
  socket.on('data', (data) => {
    answer += data
  })
  socket.on('error', () => {})
  socket.write(message('POST /v1/auth/login HTTP/1.1', HOST, JSON_TYPE, 'Connection: close', 'Content-Length: 2000000'))
  await Promise.race([closed, Bun.sleep(10_000)])
  socket.destroy()
  expect(answer).toStartWith('HTTP/1.1 413')
  expect(await isUp()).toBe(true)
})

/** All that the server says within a moment. */
function everything(bytes: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = net.connect(Number(new URL(server.url).port), '127.0.0.1')
    let text = ''
    socket.on('data', (data) => {
      text += data
    })
    socket.on('error', () => {})
    const finish = () => {
      socket.destroy()
      resolve(text)
    }
    socket.on('close', finish)
    setTimeout(finish, 3_000)
    socket.write(bytes)
  })
}

test('the process is the same, and has nothing to complain of', async () => {
  expect(await isUp()).toBe(true)
  expect(server.output().match(/"level":"(error|fatal)".*/g) ?? []).toEqual([])
})

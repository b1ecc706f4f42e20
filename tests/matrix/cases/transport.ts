import { Raw } from '../send.ts'
import { type Case, header, type Subject } from './case.ts'

const MEGABYTE = 1_048_576
const TYPES = [
  'text/plain',
  'text/json',
  'application/x-www-form-urlencoded',
  'multipart/form-data; boundary=x',
  'application/xml',
  'application/octet-stream',
  'application/json; charset=utf-16',
  'application/json; charset=latin1',
  'garbage',
  '/',
  '',
]

const BROKEN: Record<string, string> = {
  'white space': ' \r\n\t ',
  'an open brace': '{',
  'single quotes': "{'a':1}",
  'a comma too many': '{"a":1,}',
  'a comment': '{"a":1}//',
  'two documents': '{}{}',
  NaN: 'NaN',
  'an undefined': '{"a":undefined}',
  'a form': 'a=1&b=2',
  'an XML document': '<?xml version="1.0"?><a/>',
  'a raw line break in a text': '{"a":"\n"}',
  'deep arrays': `{"a":${'['.repeat(10_000)}${']'.repeat(10_000)}}`,
  'deep objects': `${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`,
  'half a megabyte of brackets': '['.repeat(MEGABYTE / 2),
}

const JSON_TYPE = { 'content-type': 'application/json' }

/** Bodies in another form than JSON in UTF-8 of a sane size. */
export function transportCases({ operation, good }: Subject): Case[] {
  if (!operation.body) return []
  const text = JSON.stringify(good.body)
  const mayBeEmpty = operation.checkBody?.({})
  const sent = (name: string, body: BodyInit, expect: Case['expect'], headers = {}): Case => ({
    name: `a body of ${name}`,
    expect,
    change: (ask) => ({ body: new Raw(body), headers: { ...ask.headers, ...JSON_TYPE, ...headers } }),
  })
  return [
    sent('nothing', '', mayBeEmpty ? 'documented' : 400),
    ...Object.entries(BROKEN).map(([name, body]) => sent(name, body, 400)),
    sent('a part of itself', text.slice(0, -1), 400),
    sent('UTF-16', Buffer.from(text, 'utf16le'), 400),
    sent('bytes that are no UTF-8', Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xff, 0xfe, 0x22, 0x7d])]), 400),
    sent('zeros', new Uint8Array(1000), 400),
    sent('a property twice', `${text.slice(0, -1)},"${Object.keys(good.body as object)[0]}":{}}`, 422),
    sent('itself, packed', Bun.gzipSync(text), 415, { 'content-encoding': 'gzip' }),
    ...TYPES.map((type) => sent(`type ${type || 'none'}`, Buffer.from(text), 415, { 'content-type': type })),
    {
      name: 'a body with a mark of its byte order',
      expect: 'documented',
      change: (ask) => ({
        body: new Raw(`\ufeff${JSON.stringify(ask.body)}`),
        headers: { ...ask.headers, ...JSON_TYPE },
      }),
    },
    ...largeCases(),
  ]
}

function largeCases(): Case[] {
  const large = `{"a":"${'x'.repeat(MEGABYTE)}"}`
  const streamed = () =>
    new ReadableStream({
      start(controller) {
        for (let at = 0; at < large.length; at += 65_536) controller.enqueue(Buffer.from(large.slice(at, at + 65_536)))
        controller.close()
      },
    })
  const change =
    (body: () => BodyInit): Case['change'] =>
    (ask) => ({
      body: new Raw(body()),
      headers: { ...ask.headers, ...JSON_TYPE },
    })
  return [
    { name: 'a body over 1 MiB', expect: 413, change: change(() => large) },
    { name: 'a body over 1 MiB in chunks', expect: 413, change: change(streamed) },
  ]
}

const GOOD_ID = /^[A-Za-z0-9._-]{1,128}$/

const REQUEST_IDS = ['given-1', 'a b', 'x'.repeat(200), '../../etc/passwd', '<script>', "' or 1=1", 'é']
const BAD_KEYS = ['with a space', 'k'.repeat(300)]
// As many of one name as there are request ids, at most, and next to each other: none meets another of its name.
const ODD_HEADERS: [string, string][] = [
  ['x-audit-reason', 'r'.repeat(10_000)],
  ['x-audit-reason', '%E0%A4%A'],
  ['x-audit-reason', 'a%00b'],
  ['x-audit-reason', `${'r'.repeat(511)}%F0%9F%98%80`],
  ['x-anything', 'x'.repeat(8_000)],
  ['user-agent', 'u'.repeat(4_000)],
  ['x-conntext-address', "1.2.3.4'; --"],
  ['x-conntext-service', 'guess'],
  ['x-forwarded-for', 'nonsense, 1.2.3.4'],
  ['accept', 'application/xml;q=banana'],
  ['range', 'bytes=abc'],
  ['if-none-match', '"'],
  ['traceparent', '00-zz'],
]

/**
 * Headers that nobody sane sends; none of them keeps a good request from succeeding. Several come with one request, since
 * it succeeds only if none of them does: each of these takes a good request of its own.
 */
export function headerCases({ operation }: Subject): Case[] {
  const refusesKeys = operation.parameters.some((one) => one.name === 'idempotency-key')
  const keys = BAD_KEYS.map((key): [string, string] => ['idempotency-key', key])
  const odd = refusesKeys ? ODD_HEADERS : [...ODD_HEADERS, ...keys]
  const together = REQUEST_IDS.map((id, at): Case => {
    const headers = { 'x-request-id': id, ...Object.fromEntries(odd.filter((_, i) => i % REQUEST_IDS.length === at)) }
    return {
      name: Object.entries(headers)
        .map(([name, value]) => `${name}: ${value.slice(0, 30)}`)
        .join(', '),
      expect: 'success',
      change: (ask) => ({ headers: { ...ask.headers, ...headers } }),
      also: ({ headers }) => faultsOfId(id, headers.get('x-request-id') ?? ''),
    }
  })
  const refused = keys.map(
    ([name, value]): Case => ({ name: `${name}: ${value.slice(0, 30)}`, expect: 422, change: header(name, value) }),
  )
  return refusesKeys ? [...together, ...refused] : together
}

function faultsOfId(given: string, told: string): string[] {
  if (!GOOD_ID.test(told)) return [`is called ${told}`]
  return GOOD_ID.test(given) === (told === given) ? [] : [`${given} became ${told}`]
}

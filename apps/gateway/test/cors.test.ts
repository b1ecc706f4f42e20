import { expect, test } from 'bun:test'
import { createCors } from '../src/http/cors.ts'

const ORIGIN = 'https://chat.example.org'
const named = (list: string | null): string[] => (list ?? '').toLowerCase().split(', ')

// What a page sends that goes on with a download, follows the audit log, or has something made once.
test.each([
  ['a download that goes on', ['range', 'if-range', 'if-match', 'if-unmodified-since']],
  ['a file that may be known already', ['if-none-match', 'if-modified-since']],
  ['following the audit log from where one was', ['last-event-id']],
  ['a change', ['authorization', 'content-type', 'idempotency-key', 'x-audit-reason', 'x-request-id', 'traceparent']],
  ['an upload', ['tus-resumable', 'upload-length', 'upload-metadata', 'upload-offset', 'upload-checksum']],
])('a page elsewhere may send what goes with %s', (_, headers) => {
  const answer = createCors([ORIGIN]).preflight(ORIGIN)
  expect(named(answer.headers.get('access-control-allow-headers'))).toEqual(expect.arrayContaining(headers))
})

test('a page elsewhere learns whether an answer is a repeat, and who did not contribute to one', () => {
  const headers = new Headers()
  createCors([ORIGIN]).decorate(headers, ORIGIN)
  const exposed = named(headers.get('access-control-expose-headers'))
  expect(exposed).toEqual(expect.arrayContaining(['idempotency-replayed', 'x-missing-instances', 'www-authenticate']))
})

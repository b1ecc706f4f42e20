import { expect, test } from 'bun:test'
import fc from 'fast-check'
import {
  channelStream,
  decodeNews,
  encodeNews,
  eventFrame,
  publicStream,
  SERVER_STREAM,
  streamChannel,
  userStream,
} from '../src/index.ts'

const at = '2026-01-01T00:00:00.000Z'
const text = fc.string({ unit: 'binary' })

test('a frame is valid JSON with exactly its fields, and carries its data byte for byte', () => {
  fc.assert(
    fc.property(fc.jsonValue(), text, fc.nat(), (value, type, seq) => {
      const data = JSON.stringify(value)
      const frame = eventFrame(SERVER_STREAM, type, seq, at, data)
      expect(JSON.parse(frame)).toEqual({ op: 'event', t: type, stream: 'server', seq, at, d: JSON.parse(data) })
      expect(frame.endsWith(`,"d":${data}}`)).toBe(true)
    }),
  )
})

test('data is not parsed on its way: spaces and big numbers stay as they are', () => {
  const data = '{ "id" : 12345678901234567890, "a":"\\u0000" }'
  expect(eventFrame(SERVER_STREAM, 'x', 1, at, data)).toContain(data)
})

test("a user stream is just 'user' to its reader; the others are known by their names", () => {
  expect(publicStream(userStream('42'))).toBe('user')
  expect(eventFrame(userStream('42'), 'x', 1, at, '{}')).not.toContain('42')
  expect(publicStream(channelStream('42'))).toBe('channel:42')
  expect(publicStream(SERVER_STREAM)).toBe('server')
})

test("the channel of a stream is known from a channel's stream alone", () => {
  expect(streamChannel(channelStream('42'))).toBe('42')
  expect(streamChannel(userStream('42'))).toBeUndefined()
  expect(streamChannel(SERVER_STREAM)).toBeUndefined()
})

test('news on the bus keeps number and frame, spaces and line ends included', () => {
  fc.assert(
    fc.property(fc.nat(), text, (seq, frame) => {
      expect(decodeNews(encodeNews(seq, frame))).toEqual({ seq, frame })
    }),
  )
  expect(decodeNews(encodeNews(7, '{"a": "b c"}'))).toEqual({ seq: 7, frame: '{"a": "b c"}' })
  expect(decodeNews(encodeNews(Number.MAX_SAFE_INTEGER, ''))).toEqual({ seq: Number.MAX_SAFE_INTEGER, frame: '' })
})

import type { TSchema } from '@sinclair/typebox'

type Json = Record<string, TSchema>

const AT = '2026-01-05T09:30:00.000Z'
const KINDS = [
  ...['channel', 'message', 'user', 'role', 'session', 'conversation', 'media', 'connection', 'avatar', 'icon'],
  ...['call', 'participant', 'transport', 'producer', 'consumer'],
]

/** An id that is always the same for the same kind of thing. */
export function exampleId(kind: string): string {
  const known = KINDS.indexOf(kind)
  const number = known < 0 ? KINDS.length : known
  return `019b8d3a-7c00-7000-8000-${number.toString(16).padStart(12, '0')}`
}

const OWNERS: Record<string, string> = {
  authorId: 'user',
  ownerId: 'user',
  creatorId: 'user',
  participantIds: 'user',
  removed: 'channel',
  to: 'channel',
  resume: 'participant',
}
const kindOf = (name: string): string => OWNERS[name] ?? name.replace(/Ids?$/, '')

// What a thing of this name usually looks like; whatever is nullable and not here is null.
const VALUES: Record<string, unknown> = {
  username: 'olga',
  content: 'The ferry leaves at nine.',
  excerpt: 'When does the ferry leave?',
  emoji: '⛴️',
  name: 'harbour',
  filename: 'timetable.pdf',
  contentType: 'application/pdf',
  sha256: '5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef',
  size: 48_213,
  token: 'eyJhbGciOiJFZERTQSJ9.…',
  nonce: '7f2d0c1b',
  heartbeatMs: 30_000,
  maxFrameBytes: 524_288,
  framesPerSecond: 500,
  identifyMs: 10_000,
  seq: 42,
  lastSeq: 42,
  lastReadSeq: 41,
  deliveredSeq: 42,
  readSeq: 41,
  maxMessageLength: 4_000,
  maxFileBytes: 104_857_600,
  maxMediaPerMessage: 10,
  position: 1,
  streams: { server: 12, user: 3, [`channel:${exampleId('channel')}`]: 42 },
  cursors: { server: 12, user: 3, [`channel:${exampleId('channel')}`]: 40 },
  type: 'urn:conntext:error:channel.notFound',
  title: 'No such channel',
  status: 404,
  code: 'channel.notFound',
  mimeType: 'audio/opus',
  clockRate: 48_000,
  channels: 2,
  payloadType: 111,
  preferredPayloadType: 100,
  usernameFragment: 'k3vb2c8wq0tq6mzl',
  password: 'x7r1h6t9u2a4d8s0p5n3',
  iceLite: true,
  foundation: 'udpcandidate',
  priority: 1_076_302_079,
  address: 'voice.example.org',
  ip: '203.0.113.7',
  port: 40_000,
  value: '5A:1C:0F:3B:9E:77:42:D8:61:AE:20:5F:C4:13:8B:96:E0:7D:34:BA:58:02:CF:91:6E:D5:2B:F8:A7:49:13:DC',
  level: -32,
}

const nameOf = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1)

/**
 * A value that fits a schema and looks like one that occurs. `name` is the property's; `owner` the thing's that has it,
 * for an `id` says nothing of its own. Optional properties are left out, but for those in `wanted`.
 */
export function exampleOf(schema: TSchema, name: string, owner: string, wanted: readonly string[] = []): unknown {
  if (schema.const !== undefined) return schema.const
  if (schema.anyOf) return ofAlternatives(schema.anyOf as TSchema[], name, owner)
  if (schema.type === 'object') return ofObject(schema, name, owner, wanted)
  if (schema.type === 'array') {
    const none = schema.maxItems === 0 || schema.items.not || owner === 'mentions'
    return none ? [] : [exampleOf(schema.items, name, owner)]
  }
  if (schema.format === 'uuid') return exampleId(name === 'id' ? owner : kindOf(name))
  if (schema.format === 'date-time') return AT
  return ofScalar(schema, name)
}

function ofAlternatives(alternatives: TSchema[], name: string, owner: string): unknown {
  const nullable = alternatives.some(({ type }) => type === 'null')
  if (nullable && !(name in VALUES)) return null
  const first = alternatives.find(({ type }) => type !== 'null')!
  return exampleOf(first, name, owner)
}

function ofObject(schema: TSchema, name: string, owner: string, wanted: readonly string[]): unknown {
  if (!schema.properties) return VALUES[name] ?? {}
  const { title, required = [], properties } = schema as TSchema & { required?: string[]; properties: Json }
  const whose = title ? nameOf(title.replace(/^(Ready|Gained|Voice)(?=[A-Z])/, '')) : owner
  return Object.fromEntries(
    Object.entries(properties)
      .filter(([key]) => required.includes(key) || wanted.includes(key))
      .map(([key, part]) => [key, exampleOf(part, key, whose)]),
  )
}

function ofScalar(schema: TSchema, name: string): unknown {
  const value = VALUES[name]
  if (schema.type === 'string') {
    if (name === 'stream') return `channel:${exampleId('channel')}`
    return typeof value === 'string' ? value : name
  }
  if (schema.type === 'boolean') return false
  return typeof value === 'number' ? value : Math.max(schema.minimum ?? 0, Math.min(1, schema.maximum ?? 1))
}

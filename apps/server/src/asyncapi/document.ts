import {
  clientFrames,
  closings,
  type EventKind,
  eventFrameOf,
  eventKinds,
  FailedFrame,
  okFrame,
  replyData,
  serverFrames,
} from '@conntext/contracts'
import type { TSchema } from '@sinclair/typebox'
import { stringify } from 'yaml'
import { Components } from '../openapi/schemas.ts'
import { exampleOf } from './examples.ts'
import { CLIENT_WORDS, DOCUMENT, HANDSHAKE, SERVER_WORDS } from './words.ts'

type Json = Record<string, unknown>
type Words = { summary: string; description?: string }
type Message = Words & { name: string; payload: Json; examples: { payload: unknown }[] } & Json

const CHANNEL = { $ref: '#/channels/gateway' }
const REFUSED = 'reply.refused'
const STREAMS: Record<EventKind['streams'][number], Words> = {
  channel: {
    summary: 'What happens in a channel or a conversation',
    description: 'Streams `channel:<id>`: of each channel that one sees, each conversation that one takes part in.',
  },
  server: { summary: 'What everybody may know', description: 'Stream `server`.' },
  user: { summary: 'What concerns oneself alone', description: 'Stream `user`, to all of its devices.' },
}
// What an example should show although it may be left out.
const SHOWN = ['id', 'nonce', 'cursors', 'status']

const inChannel = (name: string) => ({ $ref: `#/channels/gateway/messages/${name}` })
const entries = <K extends string, V>(table: Record<K, V>) => Object.entries(table) as [K, V][]

/** The messages, as components, by name. */
function describeMessages(components: Components): Record<string, Message> {
  const message = (name: string, words: Words, schema: TSchema, owner: string, more: Json = {}): Message => ({
    name,
    title: name,
    ...words,
    ...more,
    payload: components.refer(schema),
    examples: [{ payload: exampleOf(schema, name, owner, SHOWN) }],
  })
  const correlated = { correlationId: { $ref: '#/components/correlationIds/id' } }
  const all = [
    ...entries(clientFrames).map(([op, schema]) => message(op, CLIENT_WORDS[op], schema, 'frame', correlated)),
    ...entries(serverFrames).map(([op, schema]) => message(op, SERVER_WORDS[op], schema, 'frame')),
    ...entries(replyData).map(([op, data]) =>
      message(`reply.${op}`, { summary: `\`${op}\` was done` }, okFrame(data), 'frame', correlated),
    ),
    message(
      REFUSED,
      { summary: 'What was asked is refused', description: 'A problem (RFC 9457): its `code` is what to look at.' },
      FailedFrame,
      'frame',
      correlated,
    ),
    ...entries(eventKinds).map(([type, { description, ephemeral, streams }]) =>
      message(type, { summary: description }, eventFrameOf(type), type.split('.')[0]!, {
        'x-streams': streams,
        'x-ephemeral': ephemeral,
      }),
    ),
  ]
  return Object.fromEntries(all.map((one) => [one.name, one]))
}

/** Who sends what when. The document is the server's own: it receives what clients send. */
function describeOperations(): Json {
  const asked = entries(clientFrames).map(([op]) => [
    op,
    {
      action: 'receive',
      channel: CHANNEL,
      ...CLIENT_WORDS[op],
      messages: [inChannel(op)],
      reply: { channel: CHANNEL, messages: [inChannel(`reply.${op}`), inChannel(REFUSED)] },
    },
  ])
  const said = entries(serverFrames).map(([op]) => [
    op,
    { action: 'send', channel: CHANNEL, ...SERVER_WORDS[op], messages: [inChannel(op)] },
  ])
  const streams = entries(STREAMS).map(([kind, words]) => [
    `stream.${kind}`,
    {
      action: 'send',
      channel: CHANNEL,
      ...words,
      messages: entries(eventKinds).flatMap(([type, { streams }]) =>
        (streams as readonly string[]).includes(kind) ? [inChannel(type)] : [],
      ),
    },
  ])
  return Object.fromEntries([...asked, ...said, ...streams])
}

const CLOSE_CODES = Object.values(closings).map(({ code, description, comeBack }) => ({ code, description, comeBack }))

const QUERY = {
  type: 'object',
  properties: { compress: { type: 'string', const: '1', description: 'Frames are to be packed' } },
  additionalProperties: false,
}

/** The AsyncAPI document of the gateway's WebSocket, from the contracts' own schemas. */
export function describeGateway(version: string) {
  const components = new Components()
  const messages = describeMessages(components)
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'ConnText gateway',
      version,
      description: DOCUMENT,
      license: { name: 'MIT', url: 'https://spdx.org/licenses/MIT.html' },
      tags: [{ name: 'Gateway' }],
    },
    defaultContentType: 'application/json',
    servers: {
      secure: describeServer('wss', 'chat.example.org', 'Behind the TLS of a reverse proxy'),
      plain: describeServer('ws', 'localhost:8080', 'As the server listens by itself'),
    },
    channels: {
      gateway: {
        address: '/v1/gateway',
        title: 'The gateway',
        summary: 'The one WebSocket of a client',
        description: HANDSHAKE,
        messages: Object.fromEntries(
          Object.keys(messages).map((name) => [name, { $ref: `#/components/messages/${name}` }]),
        ),
        bindings: { ws: { method: 'GET', query: QUERY, bindingVersion: '0.1.0' } },
        'x-close-codes': CLOSE_CODES,
      },
    },
    operations: describeOperations(),
    components: {
      messages,
      schemas: Object.fromEntries(entries(components.schemas).toSorted(([a], [b]) => (a < b ? -1 : 1))),
      correlationIds: {
        id: { description: 'The number that the asking frame carried', location: '$message.payload#/id' },
      },
    },
  }
}

const describeServer = (protocol: string, host: string, description: string) => ({
  host: '{host}',
  protocol,
  description,
  variables: { host: { default: host, description: "Where the community's server is" } },
})

/** The same as the text of the file: quoted so that readers of YAML 1.1, for whom a date is no text, read the same. */
export const gatewayYaml = (version: string): string =>
  stringify(describeGateway(version), {
    lineWidth: 120,
    aliasDuplicateObjects: false,
    blockQuote: 'literal',
    schema: 'yaml-1.1',
  })

import { keyOf, nameOf, type Schema, typeOf } from './types.ts'

type Reference = { $ref: string }
type Operation = { action: 'send' | 'receive'; messages: Reference[]; reply?: { messages: Reference[] } }
type Message = { summary?: string; payload: Schema }
export type GatewayDocument = {
  channels: { gateway: { 'x-close-codes': { code: number; comeBack: string; description: string }[] } }
  operations: Record<string, Operation>
  components: { messages: Record<string, Message>; schemas: Record<string, Schema> }
}

const EVENT_OPERATIONS = 'stream.'

/**
 * The types of the gateway's frames and events as a TypeScript module, from the AsyncAPI document. What the OpenAPI
 * document names as well (`known`) is taken from the types made of that one.
 */
export function eventsModule(
  { channels, operations, components }: GatewayDocument,
  known: ReadonlySet<string>,
): string {
  const { messages, schemas } = components
  const named = (operation: Operation) => operation.messages.map(({ $ref }) => nameOf($ref))
  const all = Object.entries(operations)
  const events = new Set(all.flatMap(([name, one]) => (name.startsWith(EVENT_OPERATIONS) ? named(one) : [])))
  const asked = all.filter(([, { action }]) => action === 'receive')
  const said = all.filter(([name, { action }]) => action === 'send' && !name.startsWith(EVENT_OPERATIONS))
  const names = Object.keys(schemas)

  const payload = (name: string): Schema => messages[name]!.payload
  const part = (name: string, field: string): string => typeOf(payload(name).properties![field]!, '  ')
  const table = (title: string, comment: string, lines: string[]) =>
    `/** ${comment} */\nexport type ${title} = {\n${lines.map((line) => `  ${line}\n`).join('')}}\n`
  const described = (name: string, type: string) => `/** ${messages[name]!.summary} */\n  ${keyOf(name)}: ${type}`

  const body = [
    ...names.filter((name) => !known.has(name)).map((name) => `export type ${name} = ${typeOf(schemas[name]!)}\n`),
    table(
      'Events',
      'What each event carries in `d`.',
      [...events].map((name) => described(name, part(name, 'd'))),
    ),
    table(
      'ClientFrames',
      'What a client may send, by `op`.',
      asked.map(([op]) => described(op, typeOf(payload(op), '  '))),
    ),
    table(
      'ReplyData',
      'What the reply to each op carries in `d`.',
      asked.map(([op]) => `${keyOf(op)}: ${part(nameOf(messageOf(operations[op]!)), 'd')}`),
    ),
    table(
      'ServerFrames',
      'What a server sends beside events and replies, by `op`.',
      said.map(([op]) => described(op, typeOf(payload(op), '  '))),
    ),
    closings(channels.gateway['x-close-codes']),
  ].join('\n')
  const used = names.filter((name) => known.has(name) && new RegExp(`\\b${name}\\b`).test(body))
  return [
    '// This file is made from openapi/asyncapi.yaml by `bun run openapi`.\n',
    `import type {\n${used.map((name) => `  ${name},\n`).join('')}} from './types.gen.ts'\n`,
    body,
  ].join('\n')
}

/** The first message of an op's reply says that it was done. */
const messageOf = ({ reply }: Operation): string => reply!.messages[0]!.$ref

const closings = (codes: GatewayDocument['channels']['gateway']['x-close-codes']): string => {
  const lines = codes.map(({ code, comeBack, description }) => `  /** ${description} */\n  ${code}: '${comeBack}',\n`)
  return `/** What a client does after the server has closed its connection with a code. */\nexport const comeBack = {\n${lines.join('')}} as const\n`
}

import { fileURLToPath } from 'node:url'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'

export type Json = Record<string, unknown>
export type Schema = Json & { $ref?: string; type?: string | string[]; properties?: Record<string, Schema> }
type Reference = { $ref: string }
type Message = { name: string; payload: Schema; examples: { payload: unknown }[]; 'x-ephemeral'?: boolean }
type Operation = { action: 'send' | 'receive'; messages: Reference[]; reply?: { messages: Reference[] } }
type Document = {
  channels: { gateway: { address: string; description: string; 'x-close-codes': { code: number }[] } }
  operations: Record<string, Operation>
  components: { messages: Record<string, Message>; schemas: Record<string, Schema> }
}

export const FILE = fileURLToPath(new URL('../../openapi/asyncapi.yaml', import.meta.url))
export const text = await Bun.file(FILE).text()
export const document = Bun.YAML.parse(text) as Document
export const { messages, schemas } = document.components

const ajv = new Ajv2020({ strict: false, allErrors: true })
formats.default(ajv)
for (const [name, schema] of Object.entries(schemas)) ajv.addSchema(local(schema), name)

/** References to components by their bare names, as they are registered. */
function local<T>(schema: T): T {
  return JSON.parse(JSON.stringify(schema).replaceAll('"$ref":"#/components/schemas/', '"$ref":"')) as T
}

const nameOf = ({ $ref }: Reference): string => $ref.slice($ref.lastIndexOf('/') + 1)
const named = ([, { messages }]: [string, Operation]): string[] => messages.map(nameOf)
const operations = Object.entries(document.operations)

/** What clients say; the replies to them; what the server says beside that; the events. By their messages' names. */
export const clientOps = operations.filter(([, { action }]) => action === 'receive').flatMap(named)
export const replies = operations.flatMap(([, { reply }]) => reply?.messages.map(nameOf) ?? [])
export const eventTypes = [...new Set(operations.filter(([name]) => name.startsWith('stream.')).flatMap(named))]
export const serverOps = operations
  .filter(([name, { action }]) => action === 'send' && !name.startsWith('stream.'))
  .flatMap(named)

const compiled = new Map<string, ValidateFunction>()

/** The faults of a frame as the message of this name; none when it fits. */
export function faultsOf(name: string, frame: unknown): string[] {
  const message = messages[name]
  if (!message) return [`no message is called ${name}`]
  const check = compiled.get(name) ?? ajv.compile(local(message.payload))
  compiled.set(name, check)
  return check(frame) ? [] : check.errors!.map(({ instancePath, message }) => `${instancePath} ${message}`)
}

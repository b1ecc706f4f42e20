// bun run generate: the calls and types from openapi/conntext.json, the gateway's frames and events from
// openapi/asyncapi.yaml; into src/generated, or with --output <directory> into that.
import { fileURLToPath } from 'node:url'
import { eventsModule, type GatewayDocument } from './events.ts'

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url))
const position = process.argv.indexOf('--output')
const output = (position > 0 && process.argv[position + 1]) || path('../src/generated')

const child = Bun.spawn([process.execPath, 'x', 'openapi-ts', '--output', output], {
  cwd: path('..'),
  stdio: ['ignore', 'inherit', 'inherit'],
})
if ((await child.exited) !== 0) process.exit(1)

const api = (await Bun.file(path('../../../openapi/conntext.json')).json()) as { components: { schemas: object } }
const gateway = Bun.YAML.parse(await Bun.file(path('../../../openapi/asyncapi.yaml')).text()) as GatewayDocument
await Bun.write(`${output}/events.ts`, eventsModule(gateway, new Set(Object.keys(api.components.schemas))))

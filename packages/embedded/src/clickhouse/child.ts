// The process that holds the engine; started by `startClickHouse`.
import { EngineMissing } from './engine.ts'
import { type FromChild, parseMessage, type ToChild } from './messages.ts'
import { type ClickHouseServer, type ServerOptions, serve } from './server.ts'

/** When the parent is gone nobody can wait for us. */
const orphanPatienceMs = 2_000

function send(message: FromChild): void {
  process.stdout.write(`${JSON.stringify(message)}\n`)
}

function start(options: ServerOptions): ClickHouseServer {
  try {
    const server = serve(options)
    send({ type: 'ready', port: server.port })
    return server
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    const portTaken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE'
    send({
      type: 'failed',
      reason: error instanceof EngineMissing ? 'missing' : portTaken ? 'port' : 'engine',
      message,
    })
    process.exit(1)
  }
}

async function stop(server: ClickHouseServer | undefined, patienceMs: number): Promise<never> {
  await server?.stop(patienceMs)
  process.exit(0)
}

// Ctrl-C reaches the server, which stops us in its own time.
process.on('SIGINT', () => {})
process.on('unhandledRejection', (reason) => console.error('unhandled rejection:', reason))

let server: ClickHouseServer | undefined
process.on('SIGTERM', () => stop(server, orphanPatienceMs))
for await (const line of console) {
  const message = parseMessage<ToChild>(line)
  if (message?.type === 'serve') server = start(message.options)
  if (message?.type === 'stop') await stop(server, message.patienceMs)
}
await stop(server, orphanPatienceMs)

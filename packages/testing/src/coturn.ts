import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort } from '@conntext/embedded'
import { ProcessMember } from './stack/member.ts'
import { locateProgram } from './stack/programs.ts'

const COMMON = fileURLToPath(new URL('../../../docker/coturn/turnserver.conf', import.meta.url))
// What is of the container, or the test's own.
const LEFT_OUT = /^(listening-port|pidfile|log-file)=/

export type Coturn = {
  host: string
  port: number
  secret: string
  /** What it has said so far. */
  log(): Promise<string>
  /** Ends it, and starts it on the same port; of what it relayed it knows nothing then. */
  restart(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

export type CoturnOptions = {
  secret?: string
  /** Where it listens, UDP and TCP. */
  address?: string
  /** What it sends from, besides. */
  relayAddress?: string
  /** More lines of its configuration. */
  lines?: string[]
}

/** Whether this machine has a coturn to test with; `npm test` gets Debian's. */
export const hasCoturn = (): boolean => locateProgram('turnserver') !== undefined

/** Starts a TURN server of the test's own, with what docker/coturn says of it. */
export async function startCoturn(options: CoturnOptions = {}): Promise<Coturn> {
  const found = locateProgram('turnserver')
  if (!found) throw new Error('there is no coturn on this machine')
  const { secret = crypto.randomUUID(), address = '127.0.0.1', relayAddress = address, lines = [] } = options
  const directory = await mkdtemp(join(tmpdir(), 'conntext-coturn-'))
  const port = await freePort()
  const common = (await readFile(COMMON, 'utf8')).split('\n').filter((line) => !LEFT_OUT.test(line))
  const own = [
    ...[`listening-ip=${address}`, `relay-ip=${relayAddress}`, `listening-port=${port}`],
    ...[`static-auth-secret=${secret}`, 'realm=test', `pidfile=${directory}/pid`, `userdb=${directory}/db`],
    'log-file=stdout',
    'verbose',
  ]
  const file = join(directory, 'turnserver.conf')
  await writeFile(file, [...common, ...own, ...lines, ''].join('\n'), { mode: 0o600 })
  const log = join(directory, 'log')
  let before = 0
  const member = new ProcessMember({
    ...{ name: 'coturn', url: undefined, log, readyMs: 30_000, stopMs: 5_000 },
    command: [found.path, '-c', file],
    env: found.env,
    // It may be told to listen to UDP alone, or to TCP alone.
    ready: async () => (await readFile(log, 'utf8')).slice(before).includes('Total General servers'),
  })
  await member.start()
  return {
    ...{ host: address, port, secret },
    log: () => readFile(log, 'utf8'),
    async restart() {
      await member.stop()
      before = (await readFile(log, 'utf8')).length
      await member.start()
    },
    async [Symbol.asyncDispose]() {
      await member.stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

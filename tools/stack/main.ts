// The split deployment without containers: what docker/compose.yml describes, as plain processes of this machine.
//   bun run stack [--profile voice]
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs, parseEnv } from 'node:util'
import { ComposeError, MemberFailed, type Stack, startStack } from '@conntext/testing/stack'
import { PackagesUnavailable } from '../lib/debian-packages.ts'
import { root } from '../lib/root.ts'
import { getStandIns } from './get.ts'

const say = (line: string) => console.error(`stack: ${line}`)

/** Settings as compose takes them: of this shell, and below it of docker/.env. What is this machine's to say stays out. */
function settings(): Record<string, string | undefined> {
  const file = join(root, 'docker/.env')
  const given = existsSync(file) ? parseEnv(readFileSync(file, 'utf8')) : {}
  const { CONNTEXT_PUBLIC_URL: _, ...rest } = { ...given, ...process.env }
  return rest
}

function greet({ url, gateways, members, leftOut, setupCode, directory }: Stack): void {
  const width = Math.max(...[...members.keys()].map((name) => name.length))
  for (const { name, url: address, pid } of members.values()) {
    if (address) say(`  ${name.padEnd(width)}  ${address}${pid ? `  (process ${pid})` : ''}`)
  }
  for (const { name, why } of leftOut) say(`  ${name.padEnd(width)}  left out: ${why}`)
  say(`logs are in ${directory}/logs; all of it is thrown away at the end`)
  say(`listening on ${url}; gateways without TLS: ${gateways.join(', ')}`)
  console.log(`setup code: ${setupCode}`)
}

/** Ends with the first signal, in order. */
function untilAsked(): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => resolve(signal))
  return promise
}

const asked = untilAsked()
try {
  const { values } = parseArgs({ options: { profile: { type: 'string', multiple: true } } })
  await getStandIns(say)
  const stack = await startStack({ env: settings(), profiles: values.profile ?? [], say })
  greet(stack)
  say(`stopping (${await asked})`)
  await stack.stop()
  process.exit(0)
} catch (error) {
  const told = error instanceof ComposeError || error instanceof MemberFailed || error instanceof PackagesUnavailable
  if (!told) throw error
  say(error.message)
  process.exit(1)
}

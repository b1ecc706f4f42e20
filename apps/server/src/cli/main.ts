// npm run conntext -- COMMAND: what the operator of a server does to it from beside it, whether it runs or not. What
// was asked for goes to standard output; what there is to say about it, to standard error.
import { parseArgs } from 'node:util'
import { EmbeddedError } from '@conntext/embedded'
import { AppError, createLogger, StartError } from '@conntext/kernel'
import { loadConfig } from '../config.ts'
import { disableMfa, resetPassword } from './accounts.ts'
import { listKeys, rotateKeys } from './keys.ts'
import { checkFiles } from './media.ts'
import { openPlace, type Place } from './place.ts'

const HELP = `conntext COMMAND

  keys list                          the data keys: their age, and how many values each still opens
  keys rotate [--signing] [--master] seals all that is sealed under new keys, while the server goes on
      --signing                      and has access tokens signed by a new key
      --master                       and wraps the keys under a new master key
  accounts reset-password USERNAME   prints a single-use token that sets a new password
  accounts disable-mfa USERNAME      removes the authenticator app, passkeys and recovery codes
  media check [--repair]             compares the database with the files that are stored
      --repair                       and brings them together
  help                               prints this

The server is the one whose data is in CONNTEXT_DATA (./data), be it running or not.`

/** A command that was given wrongly: its message is all that the operator needs. */
class UsageError extends Error {}

const say = (line: string) => console.error(`conntext: ${line}`)
const log = createLogger({ service: 'command', level: 'error', write: (line) => void process.stderr.write(line) })

type Flags = { master: boolean; signing: boolean; repair: boolean }
type Command = { operands: string[]; flags?: (keyof Flags)[]; run(place: Place, given: Given): Promise<void> }
type Given = { operands: string[]; flags: Flags }

const commands: Record<string, Command> = {
  'keys list': {
    operands: [],
    run: async (place) => console.log((await listKeys(place)).join('\n')),
  },
  'keys rotate': {
    operands: [],
    flags: ['master', 'signing'],
    run: (place, { flags }) => rotateKeys(place, flags, { log, say }),
  },
  'accounts reset-password': {
    operands: ['USERNAME'],
    async run(place, { operands }) {
      const { token, said } = await resetPassword(place, operands[0]!, log)
      say(said)
      console.log(token)
    },
  },
  'accounts disable-mfa': {
    operands: ['USERNAME'],
    run: async (place, { operands }) => say(await disableMfa(place, operands[0]!, log)),
  },
  'media check': {
    operands: [],
    flags: ['repair'],
    run: async (place, { flags }) => console.log((await checkFiles(place, loadConfig(process.env), flags)).join('\n')),
  },
}

/** @throws UsageError */
function parse(args: string[]): { command: Command; given: Given } | 'help' {
  const { values, positionals } = readArguments(args)
  const name = positionals.slice(0, 2).join(' ')
  if (values.help || positionals[0] === 'help') return 'help'
  const command = Object.hasOwn(commands, name) ? commands[name]! : undefined
  if (!command) throw new UsageError(name === '' ? 'what is to be done?' : `there is no command "${name}"`)
  const operands = positionals.slice(2)
  if (operands.length !== command.operands.length) {
    throw new UsageError(`${name} takes ${command.operands.join(' ') || 'no operands'}`)
  }
  const flags = {
    master: values.master ?? false,
    signing: values.signing ?? false,
    repair: values.repair ?? false,
  }
  const misplaced = (['master', 'signing', 'repair'] as const).find(
    (flag) => flags[flag] && !command.flags?.includes(flag),
  )
  if (misplaced) throw new UsageError(`${name} takes no --${misplaced}`)
  return { command, given: { operands, flags } }
}

function readArguments(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        help: { type: 'boolean', short: 'h' },
        master: { type: 'boolean' },
        signing: { type: 'boolean' },
        repair: { type: 'boolean' },
      },
    })
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

async function main(args: string[]): Promise<void> {
  const parsed = parse(args)
  if (parsed === 'help') return console.log(HELP)
  const place = await openPlace(loadConfig(process.env).data)
  try {
    await parsed.command.run(place, parsed.given)
  } finally {
    await place.close()
  }
}

/** What an operator can do something about; anything else is a fault of ours, told in full. */
function explain(error: unknown): string | undefined {
  if (error instanceof AppError) return [error.title, error.detail].filter(Boolean).join('. ')
  if (error instanceof StartError || error instanceof EmbeddedError) return error.message
  const { code } = ((error as Error).cause ?? error) as { code?: unknown }
  const otherVersion = code === '42P01' || code === '42703'
  return otherVersion ? 'the running server is of another version than this command: restart it first' : undefined
}

try {
  await main(process.argv.slice(2))
  process.exit(0)
} catch (error) {
  if (error instanceof UsageError) {
    say(`${error.message}\n\n${HELP}`)
    process.exit(2)
  }
  const explained = explain(error)
  if (explained === undefined) throw error
  say(explained)
  process.exit(1)
}

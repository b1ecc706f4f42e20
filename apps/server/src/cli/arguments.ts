import { parseArgs } from 'node:util'

/** A command that was given wrongly: its message is all that the operator needs. */
export class UsageError extends Error {}

const FLAGS = ['master', 'signing', 'audit', 'repair', 'logs', 'deep'] as const
const OPTIONS = [
  'against',
  'from',
  'to',
  'identity',
  'master-key',
  'message',
  'until',
  'action',
  'format',
  'url',
] as const

export type Flags = Record<(typeof FLAGS)[number], boolean>
export type Options = Partial<Record<(typeof OPTIONS)[number], string>>
export type Given = { operands: string[]; flags: Flags; options: Options }
export type Usage = { operands: string[]; flags?: (keyof Flags)[]; options?: (keyof Options)[] }

/**
 * Finds the command, of one word or two, and what was given to it.
 * @throws UsageError
 */
export function parse<C extends Usage>(
  args: string[],
  commands: Record<string, C>,
): { command: C; given: Given } | { help: string | undefined } {
  const { values, positionals } = readArguments(args)
  if (positionals[0] === 'help') return { help: positionals[1] }
  if (values.help) return { help: positionals[0] }
  const length = [2, 1].find((words) => Object.hasOwn(commands, positionals.slice(0, words).join(' ')))
  const name = positionals.slice(0, length ?? 2).join(' ')
  const command = length === undefined ? undefined : commands[name]
  if (!command) throw new UsageError(name === '' ? 'what is to be done?' : `there is no command "${name}"`)
  const operands = positionals.slice(length)
  if (operands.length !== command.operands.length) {
    throw new UsageError(`${name} takes ${command.operands.join(' ') || 'no operands'}`)
  }
  const flags = Object.fromEntries(FLAGS.map((flag) => [flag, values[flag] ?? false])) as Flags
  const misplaced = FLAGS.find((flag) => flags[flag] && !command.flags?.includes(flag))
  const options = Object.fromEntries(
    OPTIONS.flatMap((option) => (values[option] === undefined ? [] : [[option, values[option]]])),
  ) as Options
  const unfit = misplaced ?? OPTIONS.find((option) => option in options && !command.options?.includes(option))
  if (unfit) throw new UsageError(`${name} takes no --${unfit}`)
  return { command, given: { operands, flags, options } }
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
        audit: { type: 'boolean' },
        repair: { type: 'boolean' },
        logs: { type: 'boolean' },
        deep: { type: 'boolean' },
        against: { type: 'string' },
        from: { type: 'string' },
        to: { type: 'string' },
        identity: { type: 'string' },
        'master-key': { type: 'string' },
        message: { type: 'string' },
        until: { type: 'string' },
        action: { type: 'string' },
        format: { type: 'string' },
        url: { type: 'string' },
      },
    })
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

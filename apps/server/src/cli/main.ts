// npm run conntext -- COMMAND: what the operator of a server does to it from beside it, whether it runs or not. What
// was asked for goes to standard output; what there is to say about it, to standard error.
import { EmbeddedError } from '@conntext/embedded'
import { AppError, StartError } from '@conntext/kernel'
import { parse, UsageError } from './arguments.ts'
import { commands, say } from './commands.ts'
import { helpOf, hintAt } from './help.ts'

async function main(args: string[]): Promise<number> {
  const parsed = parse(args[0] === '--version' ? ['version'] : args, commands)
  if ('help' in parsed) {
    console.log(helpOf(parsed.help))
    return 0
  }
  return parsed.command.run(parsed.given)
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
  process.exit(await main(process.argv.slice(2)))
} catch (error) {
  if (error instanceof UsageError) {
    say(`${error.message}\n\n${hintAt(process.argv[2])}`)
    process.exit(2)
  }
  const explained = explain(error)
  if (explained === undefined) throw error
  say(explained)
  process.exit(1)
}

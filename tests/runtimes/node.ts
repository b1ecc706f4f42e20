// A session that is spoken with over standard input and output, a line each way.
import { createInterface } from 'node:readline'
import { startSession } from './session.ts'

const session = await startSession(JSON.parse(process.argv[2]!))
const answer = (value: unknown) => process.stdout.write(`${JSON.stringify(value)}\n`)
answer(process.version)
for await (const line of createInterface(process.stdin)) {
  const { say } = JSON.parse(line) as { say?: string }
  answer(say === undefined ? session.state() : await session.say(say))
}
session.close()

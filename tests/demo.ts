// bun run demo [conversation] [corpus]: the whole at work, each step checked. Both parts, or those named.
import { demoConversation } from './demo/conversation.ts'
import { demoCorpus } from './demo/corpus.ts'
import { sayer } from './demo/say.ts'

const parts = { conversation: demoConversation, corpus: demoCorpus }
type Part = keyof typeof parts
const isPart = (name: string): name is Part => Object.hasOwn(parts, name)

const asked = process.argv.slice(2)
const unknown = asked.filter((name) => !isPart(name))
if (unknown.length > 0) {
  console.error(`no such part of the demo: ${unknown.join(', ')}. There are ${Object.keys(parts).join(' and ')}.`)
  process.exit(1)
}

const say = sayer()
for (const [name, part] of Object.entries(parts)) {
  if (asked.length === 0 || asked.includes(name)) await part(say)
}

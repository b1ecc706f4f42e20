// bun run bench [NAME…] [--quick]: prints JSON lines and nothing else on standard output.

import { audit } from './audit.ts'
import { auth } from './auth.ts'
import { channels } from './channels.ts'
import { fanout } from './fanout.ts'
import { footprint } from './footprint.ts'
import { gateway } from './gateway.ts'
import { history } from './history.ts'
import type { Bench } from './lib/result.ts'
import { messages } from './messages.ts'
import { redis } from './redis.ts'
import { resume } from './resume.ts'
import { search } from './search.ts'
import { upload } from './upload.ts'
import { voice } from './voice.ts'

const benches: Record<string, Bench> = {
  messages,
  history,
  search,
  fanout,
  channels,
  resume,
  redis,
  gateway,
  auth,
  audit,
  upload,
  voice,
  footprint,
}

const args = process.argv.slice(2)
const quick = args.includes('--quick')
const wanted = args.filter((arg) => !arg.startsWith('--'))
const unknown = wanted.filter((name) => !Object.hasOwn(benches, name))
if (unknown.length > 0) {
  console.error(`no such bench: ${unknown.join(', ')}; there are ${Object.keys(benches).join(', ')}`)
  process.exit(2)
}
for (const name of wanted.length > 0 ? wanted : Object.keys(benches)) {
  console.error(`bench ${name}${quick ? ' (quick)' : ''}`)
  await benches[name]!({ quick }, (line) => console.log(JSON.stringify(line)))
}
process.exit(0)

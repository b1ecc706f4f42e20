import { DataDirectoryInUse, EmbeddedError } from '@conntext/embedded'
import { StartError } from '@conntext/kernel'
import { loadConfig } from './config.ts'
import { type RunningServer, startServer } from './server.ts'

const say = (line: string) => console.error(`conntext: ${line}`)

/** What the operator has to know, told once. The setup code goes to standard output alone, and never into a log. */
function greet({ url, setupCode }: RunningServer): void {
  say(`listening on ${url}`)
  if (setupCode.fresh) {
    say('this server has no owner yet: register the first account with the setup code below; it works once')
    console.log(`setup code: ${setupCode.fresh}`)
  } else if (setupCode.file) {
    say(`this server has no owner yet: the setup code is in ${setupCode.file}`)
  }
}

const VOICE_SOON_MS = 5_000

/** Says when voice isn't there yet, and what becomes of it: the media worker may be built for minutes. */
async function tellOfVoice({ voiceStatus }: RunningServer): Promise<void> {
  const began = performance.now()
  let follows = false
  for (;;) {
    const { state, reason, remedy } = await voiceStatus()
    if (state === 'off') say(`voice is off: ${[reason, remedy].filter(Boolean).join('. ')}`)
    if (state === 'on' && follows) say('voice is on')
    if (state !== 'starting') return
    if (reason !== null && !follows) {
      follows = true
      say('voice follows: its media worker is being downloaded or built, which may take minutes; all else is ready')
    }
    await Bun.sleep(performance.now() - began < VOICE_SOON_MS ? 100 : 2_000)
  }
}

try {
  const began = performance.now()
  const config = loadConfig(process.env)
  for (const name of config.unknown) say(`${name} is not a setting of ConnText; it does nothing`)
  const server = await startServer(config, say)
  server.endOnSignals()
  greet(server)
  say(`ready after ${((performance.now() - began) / 1000).toFixed(1)} s`)
  // A server that is stopping already has nothing more to tell.
  tellOfVoice(server).catch(() => {})
} catch (error) {
  const told = error instanceof StartError || error instanceof DataDirectoryInUse || error instanceof EmbeddedError
  if (!told) throw error
  say(error.message)
  process.exit(1)
}

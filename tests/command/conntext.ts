import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('../../apps/server/src/cli/main.ts', import.meta.url))

/** The command itself, for those that go on until they are ended. */
export const CONNTEXT = [process.execPath, MAIN]

/** Runs `conntext …` on a data directory, as an operator would. */
export const conntext = (data: string, ...args: string[]) => conntextWith({ CONNTEXT_DATA: data }, ...args)

/** The same with settings. */
export async function conntextWith(settings: Record<string, string>, ...args: string[]) {
  const child = Bun.spawn([...CONNTEXT, ...args], {
    env: { ...process.env, ...settings },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  return { out: out.trim(), err: err.trim(), code }
}

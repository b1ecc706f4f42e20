import { Api, createChannel, register, unwrap } from '@conntext/sdk'
import { SETUP_CODE, startServerProcess } from '@conntext/testing'

// A bench measures what the server can do, not what it is told to allow.
export const UNLIMITED: Record<string, string> = Object.fromEntries(
  ['ACCOUNT', 'ADDRESS', 'CREDENTIALS', 'MESSAGES', 'FRAMES'].map((what) => [`CONNTEXT_RATE_${what}`, '0']),
)

/** A server of the bench's own, with its owner logged in and one channel; `env` is put over what it has. */
export async function startBenchServer(env: Record<string, string> = {}) {
  const server = await startServerProcess({ ...UNLIMITED, ...env })
  return { server, ...(await settle(server.url)), [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() }
}

/** Makes the owner of a new server and its one channel. */
export async function settle(url: string): Promise<{ api: Api; channelId: string }> {
  const api = new Api({ baseUrl: url })
  const body = { username: 'owner', password: 'a-long-enough-password', setupCode: SETUP_CODE }
  api.use(await unwrap(register({ client: api.client, body })))
  const channel = await unwrap(createChannel({ client: api.client, body: { name: 'bench', type: 'text' } }))
  return { api, channelId: channel.id }
}

/** Starts one of the bare programs that something is measured against; it prints its port first. */
export async function startBaseline(file: string, ...args: string[]) {
  const child = Bun.spawn([process.execPath, new URL(`../baselines/${file}`, import.meta.url).pathname, ...args], {
    // Ends with this process: the program stops when its standard input closes.
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const reader = child.stdout.getReader()
  const { value } = await reader.read()
  const port = Number(new TextDecoder().decode(value).trim())
  return {
    port,
    pid: child.pid,
    async [Symbol.asyncDispose]() {
      child.kill()
      await child.exited
    },
  }
}

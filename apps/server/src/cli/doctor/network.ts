import { type Check, fault, ok, warning } from './finding.ts'

const WITHIN_MS = 5_000
const LITTLE_SKEW_S = 5
const MUCH_SKEW_S = 60

type Listening = { hostname: string; port: number }

/** Where a server that listens there is reached from beside it. */
export const localUrl = ({ hostname, port }: Listening): string =>
  `http://${hostname === '0.0.0.0' || hostname === '::' ? 'localhost' : hostname}:${port}`

type Parts = { parts?: Record<string, string> }

const reach = (url: string) => fetch(url, { signal: AbortSignal.timeout(WITHIN_MS), redirect: 'manual' })

/** Whether the port is ours already, or can be had. */
export const port = ({ hostname, port }: Listening, running: boolean): Check => ({
  about: `port ${port}`,
  async run() {
    if (port === 0) return ok('any free one')
    if (running) return ok(`the server has it, or will have it when it is ready`)
    try {
      const listener = Bun.listen({ hostname, port, socket: { data() {} } })
      listener.stop(true)
      return ok('free')
    } catch (error) {
      const code = (error as { code?: string }).code ?? 'unknown'
      if (code === 'EACCES') return fault('not for this account to listen on', 'Take one above 1023 (CONNTEXT_PORT).')
      if (code === 'EADDRINUSE') return fault('taken by another program', 'End it, or choose another (CONNTEXT_PORT).')
      return fault(`${hostname} can't be listened on (${code})`, 'Correct CONNTEXT_HOST.')
    }
  },
})

/** A service, or the gateway, by what its `/readyz` says. */
export const service = (name: string, url: string): Check => ({
  about: name,
  async run() {
    const answer = await reach(`${url}/readyz`).catch(() => undefined)
    if (!answer) return fault(`nothing answers at ${url}`, 'See that it runs, and that its address is right.')
    const { parts = {} } = (await answer.json().catch(() => ({}))) as Parts
    const amiss = Object.entries(parts).filter(([, state]) => state !== 'up')
    const told = amiss.map(([part, state]) => `${part} is ${state}`).join(', ')
    if (!answer.ok) {
      return fault(`not ready at ${url}${told && `: ${told}`}`, 'Its log says why; so does GET /v1/system/health.')
    }
    return amiss.length === 0
      ? ok(`ready at ${url}`)
      : warning(`ready at ${url}, but ${told}`, 'GET /v1/system/health says what it lacks.')
  },
})

/** People reach the server by it, and passkeys are bound to it. */
export const publicUrl = (url: string, isSet: boolean): Check => ({
  about: 'public URL',
  async run() {
    const { protocol, hostname } = new URL(url)
    const isLocal = hostname === 'localhost' || hostname.endsWith('.localhost')
    if (!isSet) {
      return warning(`${url}, since none is set`, 'Set CONNTEXT_PUBLIC_URL: links in mails and passkeys go by it.')
    }
    if (protocol === 'https:' || isLocal) return ok(url)
    return warning(
      `${url} is not encrypted`,
      'Put a proxy with TLS in front: what people write and log in with goes in clear, and passkeys and calls need https.',
    )
  },
})

/** How far a machine's clock, by the Date of its answers, is from ours. */
export const skew = (name: string, url: string): Check => ({
  about: `clock of ${name}`,
  async run() {
    const before = Date.now()
    const answer = await reach(url)
    const there = Date.parse(answer.headers.get('date') ?? '')
    if (Number.isNaN(there)) return ok('it does not say')
    // The header has whole seconds.
    return apart(there + 500 - (before + Date.now()) / 2)
  },
})

/** What it means that another clock is so many milliseconds ahead. */
export function apart(ms: number): ReturnType<typeof ok> {
  const seconds = Math.round(ms / 1000)
  if (Math.abs(seconds) <= LITTLE_SKEW_S) return ok('as this one’s')
  const told = `${Math.abs(seconds)} s ${seconds < 0 ? 'behind' : 'ahead of'} this one's`
  const remedy = 'Have both kept by NTP.'
  return Math.abs(seconds) > MUCH_SKEW_S ? fault(told, remedy) : warning(told, remedy)
}

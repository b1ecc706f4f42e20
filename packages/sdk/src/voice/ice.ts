import { getIceServers } from '../generated/sdk.gen.ts'
import { unwrap } from '../problem.ts'
import type { VoiceOptions } from './options.ts'

// Credentials that end while media looks for its way would be in vain.
const EARLY_MS = 30_000
// How long what doesn't end is taken for true.
const HELD_MS = 300_000
// Whoever has to wait for longer begins without.
const ANSWER_MS = 5_000

type Ice = { iceServers: RTCIceServer[]; iceTransportPolicy: RTCIceTransportPolicy }

/** The servers that help media through firewalls: asked for again when their credentials are about to end. */
export class IceSource {
  #known: { ice: Ice; until: number } | undefined
  #asking: Promise<Ice> | undefined

  constructor(private readonly options: Pick<VoiceOptions, 'api' | 'iceServers' | 'iceTransportPolicy'>) {}

  /** Where the server doesn't tell, there are none: most find a way without. */
  get(): Promise<Ice> {
    if (this.#known && this.#known.until > Date.now()) return Promise.resolve(this.#known.ice)
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined
    })
    return this.#asking
  }

  async #ask(): Promise<Ice> {
    const { api, iceServers, iceTransportPolicy } = this.options
    const ask = iceServers ?? (api && (() => unwrap(getIceServers({ client: api.client }))))
    try {
      if (!ask) return { iceServers: [], iceTransportPolicy: iceTransportPolicy ?? 'all' }
      const answer = await within(ANSWER_MS, ask())
      const ice: Ice = {
        iceServers: answer.iceServers,
        iceTransportPolicy: iceTransportPolicy ?? answer.iceTransportPolicy,
      }
      const ends = answer.expiresAt === null ? Date.now() + HELD_MS : Date.parse(answer.expiresAt)
      this.#known = { ice, until: ends - EARLY_MS }
      return ice
    } catch {
      return this.#known?.ice ?? { iceServers: [], iceTransportPolicy: iceTransportPolicy ?? 'all' }
    }
  }
}

async function within<T>(ms: number, answer: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('no answer')), ms)
  })
  return Promise.race([answer, late]).finally(() => clearTimeout(timer))
}

import { lookup as lookUp } from 'node:dns/promises'
import { isIP } from 'node:net'
import type { Logger } from '@conntext/kernel'

/** All addresses of a name. @throws where it has none */
export type Lookup = (name: string) => Promise<string[]>

export const systemLookup: Lookup = async (name) =>
  (await lookUp(name, { all: true, order: 'verbatim' })).map(({ address }) => address)

const AGAIN_MS = 60_000

/**
 * By what clients are told to reach this machine. Names are looked up here, and again every minute: not every browser
 * takes a name for a candidate, and a home's address changes.
 */
export class Announced {
  readonly #found = new Map<string, string[]>()
  readonly #timer: Timer | undefined

  constructor(private readonly deps: { told: string[]; log: Logger; lookup?: Lookup | undefined }) {
    if (this.names.length === 0) return
    void this.refresh()
    this.#timer = setInterval(() => void this.refresh(), AGAIN_MS)
    this.#timer.unref()
  }

  /** As set; empty where nothing is. */
  get told(): string[] {
    return this.deps.told
  }

  private get names(): string[] {
    return this.told.filter((one) => isIP(one) === 0)
  }

  /** The names that have no address. */
  get unknown(): string[] {
    return this.names.filter((name) => !this.#found.has(name))
  }

  /** In the order they are set; a name that has never been found stays one, for clients to try. */
  get addresses(): string[] {
    return [...new Set(this.told.flatMap((one) => this.#found.get(one) ?? [one]))]
  }

  async refresh(): Promise<void> {
    const { lookup = systemLookup, log } = this.deps
    await Promise.all(
      this.names.map(async (name) => {
        try {
          // What was found before holds while the answer is on its way, or there is none.
          this.#found.set(name, await lookup(name))
        } catch (error) {
          log.warn({ err: error, name }, 'an announced name could not be looked up')
        }
      }),
    )
  }

  stop(): void {
    clearInterval(this.#timer)
  }
}

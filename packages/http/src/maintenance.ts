import type { ServerMaintenance } from '@conntext/contracts'
import { type Clock, defineErrors } from '@conntext/kernel'
import type { Guard, Principal } from './guard.ts'

export const maintenanceErrors = defineErrors('server', {
  maintenance: { status: 503, title: 'The server is under maintenance and takes no changes' },
})

const RETRY_S = { usual: 60, longest: 3_600 }

type Deps = { guard: Pick<Guard, 'authority' | 'allows'>; clock: Clock }

/**
 * Whether changes are taken now. It stands in the snapshot of permissions, which every instance learns of before whoever
 * changes it has an answer: there is nothing else to tell or to forget.
 */
export class MaintenanceGate {
  #last: ServerMaintenance | null | undefined

  constructor(private readonly deps: Deps) {}

  /** For whoever is to be let through nevertheless, who they are is asked only where it matters. @throws server.maintenance (503) */
  async assertOpen(who: () => Promise<Principal | undefined>): Promise<void> {
    const maintenance = await this.#current()
    if (!maintenance) return
    const principal = await who()
    if (principal && (await this.deps.guard.allows(principal, 'system.manage'))) return
    throw maintenanceErrors.maintenance({
      detail: maintenance.message ?? 'It can be read, and takes changes again when the maintenance is over.',
      retryAfter: this.#secondsLeft(maintenance),
    })
  }

  /** While permissions can't be asked for, what was known last: a service that is away must not lift it, nor begin it. */
  async #current(): Promise<ServerMaintenance | null> {
    try {
      this.#last = (await this.deps.guard.authority()).snapshot.server.maintenance
    } catch (error) {
      if (this.#last === undefined) throw error
    }
    return this.#last ?? null
  }

  #secondsLeft({ until }: ServerMaintenance): number {
    const left = until === null ? 0 : (Date.parse(until) - this.deps.clock.now().getTime()) / 1000
    return left <= 0 ? RETRY_S.usual : Math.min(Math.ceil(left), RETRY_S.longest)
  }
}

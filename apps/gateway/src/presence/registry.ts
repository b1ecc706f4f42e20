import type { ChosenStatus, CustomStatus, SaidPresence } from '@conntext/contracts'

/** An account's presence, of all its connections everywhere. `saidAt` tells when its custom status was said. */
export type Combined = { status: ChosenStatus; customStatus: CustomStatus | null; saidAt: number }

// Whoever is invisible anywhere is so; whoever is busy anywhere is busy; idle is who is idle everywhere.
const STRENGTH: Record<ChosenStatus, number> = { idle: 0, online: 1, dnd: 2, invisible: 3 }

export const stronger = (one: ChosenStatus | undefined, other: ChosenStatus): ChosenStatus =>
  one !== undefined && STRENGTH[one] >= STRENGTH[other] ? one : other

type Register = Pick<SaidPresence, 'c' | 't'>

const isSame = (one: Register, other: Register): boolean =>
  one.t === other.t && (one.c === other.c || JSON.stringify(one.c) === JSON.stringify(other.c))

/** Whether a custom status replaces another. Of two that were said in the same moment all gateways choose the same. */
export const isLater = (one: Register, other: Register): boolean =>
  one.t > other.t || (one.t === other.t && JSON.stringify(one.c) > JSON.stringify(other.c))

export const saysTheSame = (one: SaidPresence | undefined, other: SaidPresence | undefined): boolean =>
  one === other || (one !== undefined && other !== undefined && one.s === other.s && isSame(one, other))

/** What every gateway has said of every account. */
export class Registry {
  readonly #accounts = new Map<string, Map<string, SaidPresence>>()
  readonly #ofGateway = new Map<string, Set<string>>()

  /** `changed` is called for each account of which something has changed. */
  constructor(private readonly changed: (userId: string) => void) {}

  get size(): number {
    return this.#accounts.size
  }

  put(gateway: string, said: SaidPresence): void {
    const account = this.#accounts.get(said.u)
    const before = account?.get(gateway)
    if (account) account.set(gateway, said)
    else this.#accounts.set(said.u, new Map([[gateway, said]]))
    const users = this.#ofGateway.get(gateway)
    if (users) users.add(said.u)
    else this.#ofGateway.set(gateway, new Set([said.u]))
    if (!saysTheSame(before, said)) this.changed(said.u)
  }

  remove(gateway: string, userId: string): void {
    if (!this.#ofGateway.get(gateway)?.delete(userId)) return
    const account = this.#accounts.get(userId)
    account?.delete(gateway)
    if (account?.size === 0) this.#accounts.delete(userId)
    this.changed(userId)
  }

  /** What a gateway has said is this, and nothing else. */
  replace(gateway: string, all: SaidPresence[]): void {
    const kept = new Set(all.map(({ u }) => u))
    for (const userId of [...(this.#ofGateway.get(gateway) ?? [])]) if (!kept.has(userId)) this.remove(gateway, userId)
    for (const said of all) this.put(gateway, said)
  }

  drop(gateway: string): void {
    this.replace(gateway, [])
    this.#ofGateway.delete(gateway)
  }

  /** Whatever others than this gateway have said of them. */
  forget(userId: string, but: string): void {
    for (const gateway of [...(this.#accounts.get(userId)?.keys() ?? [])]) {
      if (gateway !== but) this.remove(gateway, userId)
    }
  }

  saidBy(gateway: string, userId: string): SaidPresence | undefined {
    return this.#accounts.get(userId)?.get(gateway)
  }

  get(userId: string): Combined | undefined {
    const account = this.#accounts.get(userId)
    if (!account) return undefined
    let status: ChosenStatus | undefined
    let last: SaidPresence | undefined
    for (const said of account.values()) {
      status = stronger(status, said.s)
      if (!last || isLater(said, last)) last = said
    }
    return { status: status!, customStatus: last!.c, saidAt: last!.t }
  }
}

import {
  type ChosenStatus,
  ephemeralFrame,
  type Presence,
  type PresenceCounts,
  type PresencePage,
  type PresencesQuery,
  pageLimit,
  READY_PRESENCES,
  SERVER_STREAM,
} from '@conntext/contracts'
import { CURSOR_ID, decodeCursor, encodeCursor } from '@conntext/http'
import type { Clock } from '@conntext/kernel'
import type { GatewayConfig } from '../config.ts'
import type { Combined } from './registry.ts'

// A frame is complete when it is as long as this, whatever custom statuses are in it.
const FULL_FRAME = 65_536

/** What others see of somebody who is there: never that they are invisible. */
type Told = { status: Exclude<ChosenStatus, 'invisible'>; json: string }

export type BoardOptions = {
  config: GatewayConfig['presence']
  clock: Clock
  now(): number
  /** What is known of somebody now, their custom status only while it lasts. */
  of(userId: string): Combined | undefined
  /** While true nothing is told: it is being found out who may be here at all. */
  held(): boolean
  /** Sends a frame to all clients; answers how many there are. */
  publish(frame: string, count: number): number
  /** How many accounts are there. */
  counted(count: number): void
}

/**
 * What this gateway's clients have been told of everybody's presence, and hence what a new one begins with. Changes are
 * gathered, and told in frames of bounded size; under load more seldom, and then only how it is by then.
 */
export class Board {
  readonly #told = new Map<string, Told>()
  readonly #dirty = new Set<string>()
  readonly counts: PresenceCounts = { total: 0, online: 0, idle: 0, dnd: 0 }
  #sorted: string[] | undefined
  #timer: Timer | undefined
  #nextAt = 0
  #stopped = false

  constructor(private readonly options: BoardOptions) {}

  changed(userId: string): void {
    this.#dirty.add(userId)
    this.#schedule()
  }

  /** Takes what is known as told: there is no client yet. */
  settle(): void {
    for (const userId of this.#dirty) this.#tell(userId)
    this.#dirty.clear()
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
  }

  /** Of those that `first` names, and then of whom there is, at most as many as `ready` tells; without `but`. */
  forReady(first: Iterable<string>, but: string): string {
    const chosen = new Map<string, string>()
    for (const ids of [first, this.#told.keys()]) {
      for (const userId of ids) {
        if (chosen.size === READY_PRESENCES) break
        const told = this.#told.get(userId)
        if (told && userId !== but) chosen.set(userId, told.json)
      }
    }
    return `"presences":[${[...chosen.values()].join()}],"presenceCount":${this.counts.total}`
  }

  /** @throws request.invalid (422) for a cursor that no page gave out */
  list({ userIds, limit, cursor }: PresencesQuery): PresencePage {
    const after = cursor === undefined ? '' : decodeCursor(cursor, [CURSOR_ID])[0]!
    const ids = userIds === undefined ? this.#ids() : [...new Set(userIds.split(','))].sort()
    const from = firstAfter(ids, after)
    const page = ids.slice(from, from + pageLimit(limit))
    const hasMore = from + page.length < ids.length
    return {
      items: page.map((userId) => this.#presenceOf(userId)),
      nextCursor: hasMore ? encodeCursor([page.at(-1)!]) : null,
      counts: { ...this.counts },
    }
  }

  #presenceOf(userId: string): Presence {
    const told = this.#told.get(userId)
    return told ? (JSON.parse(told.json) as Presence) : absent(userId)
  }

  #ids(): string[] {
    this.#sorted ??= [...this.#told.keys()].sort()
    return this.#sorted
  }

  #schedule(): void {
    if (this.#timer || this.#stopped) return
    const { config, now } = this.options
    this.#timer = setTimeout(() => this.#flush(), Math.max(config.windowMs, this.#nextAt - now()))
  }

  #flush(): void {
    this.#timer = undefined
    const { config, clock, publish, held, now } = this.options
    const changes = held() ? [] : this.#gather()
    if (changes.length > 0) {
      const data = `{"presences":[${changes.join()}]}`
      const frame = ephemeralFrame(SERVER_STREAM, 'presence.updated', clock.now().toISOString(), data)
      const receivers = publish(frame, changes.length)
      this.#nextAt = now() + (frame.length * receivers * 1000) / config.bytesPerSecond
    }
    if (this.#dirty.size > 0) this.#schedule()
  }

  /** What one frame is to tell. */
  #gather(): string[] {
    const changes: string[] = []
    let length = 0
    for (const userId of this.#dirty) {
      if (changes.length === this.options.config.maxPerFrame || length >= FULL_FRAME) break
      this.#dirty.delete(userId)
      const change = this.#tell(userId)
      if (change === undefined) continue
      changes.push(change)
      length += change.length
    }
    return changes
  }

  /** Notes how somebody is seen now; undefined where nothing has changed. */
  #tell(userId: string): string | undefined {
    const before = this.#told.get(userId)
    const known = this.options.of(userId)
    if (!known || known.status === 'invisible') {
      if (!before) return undefined
      this.#count(before.status, -1)
      this.#told.delete(userId)
      this.#sorted = undefined
      return JSON.stringify(absent(userId))
    }
    const { status, customStatus } = known
    const json = JSON.stringify({ userId, status, customStatus } satisfies Presence)
    if (before?.json === json) return undefined
    if (before) this.#count(before.status, -1)
    else this.#sorted = undefined
    this.#told.set(userId, { status, json })
    this.#count(status, 1)
    return json
  }

  #count(status: Told['status'], by: number): void {
    this.counts[status] += by
    this.counts.total += by
    this.options.counted(this.counts.total)
  }
}

const absent = (userId: string): Presence => ({ userId, status: 'offline', customStatus: null })

/** The index of the first id after `after`, in an ascending list. */
function firstAfter(ids: string[], after: string): number {
  let low = 0
  let high = ids.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (ids[middle]! <= after) low = middle + 1
    else high = middle
  }
  return low
}

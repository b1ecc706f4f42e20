import type { AuditTailQuery } from '@conntext/contracts'
import { type EventFilter, type StoredPosition, selectStored } from '@conntext/db-audit'
import { actorOf, type Caller } from '@conntext/http'
import { recordAudit, systemAudit } from '../../recorder.ts'
import { Bounded } from '../bounded.ts'
import { fromAudit } from '../errors.ts'
import { filterOf, namesOf } from '../filters.ts'
import { toEvent } from '../rows.ts'
import type { AnalyticsDeps } from '../service.ts'
import { tailErrors } from './errors.ts'
import { Notices } from './notices.ts'
import { storedUpTo } from './queries.ts'

export type TailTimes = {
  /** Between two signs of life. */
  heartbeatMs: number
  /** After which one has to come back, and show again who one is. */
  longestMs: number
  /** For which one may leave what is there where it is. */
  patienceMs: number
}
const TIMES: TailTimes = { heartbeatMs: 15_000, longestMs: 15 * 60_000, patienceMs: 60_000 }
const MOST = 50
const MOST_EACH = 5
const AT_ONCE = 200
const LAST_INDEX = 4_294_967_295

type End = 'revoked' | 'renew' | 'slow' | 'away' | 'stopping'

/** What follows the trail live: everybody who does, in this process. */
export class Tails {
  readonly notices: Notices
  readonly #running = new Bounded(MOST, MOST_EACH)
  readonly #open = new Set<(end: End) => void>()
  readonly #times: TailTimes

  constructor(
    private readonly deps: AnalyticsDeps,
    times: Partial<TailTimes> = {},
  ) {
    this.notices = new Notices(deps.bus)
    this.#times = { ...TIMES, ...times }
  }

  /** Has everybody come back later. */
  endAll(): void {
    for (const end of [...this.#open]) end('stopping')
  }

  async stop(): Promise<void> {
    this.endAll()
    await this.notices.stop()
  }

  /**
   * The events that are stored from now on, or from behind `lastEventId` on, and pass the filters, in the order in which
   * they were stored, each once, as server-sent events.
   * @throws request.invalid, audit.badEventId (422), audit.tailBusy (429), dependency.away (503)
   */
  async follow(
    caller: Caller,
    query: AuditTailQuery,
    lastEventId: string | null,
    gone: AbortSignal,
  ): Promise<Response> {
    const { db, nudge } = this.deps
    const filter = filterOf(query)
    const after = lastEventId === null ? { batch: await storedUpTo(db), index: LAST_INDEX } : readPosition(lastEventId)
    const leave = this.#running.enter(caller.userId)
    if (!leave) throw tailErrors.tailBusy({ detail: 'End another one first.', retryAfter: 5 })
    try {
      await recordAudit(db, [systemAudit('audit.followed', actorOf(caller), null, { filters: namesOf(query) })])
      nudge()
      const stream = this.#stream(caller, filter, after, gone, leave)
      return new Response(stream, { headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store' } })
    } catch (error) {
      leave()
      throw error
    }
  }

  #stream(caller: Caller, filter: EventFilter, after: StoredPosition, gone: AbortSignal, leave: () => void) {
    const { guard, log } = this.deps
    const ended = Promise.withResolvers<End>()
    const end = (why: End) => ended.resolve(why)
    const check = async () => {
      if (!(await guard.allows(caller, 'audit.view').catch(() => true))) end('revoked')
    }
    const cleanups = [
      guard.onChange(() => void check()),
      guard.onRevoked(({ sessionId }) => {
        if (sessionId === caller.sessionId) end('revoked')
      }),
    ]
    const renewal = setTimeout(end, this.#times.longestMs, 'renew' satisfies End)
    let patience: Timer | undefined
    const words = this.#words(filter, after, ended.promise, check)
    const close = () => {
      clearTimeout(renewal)
      clearTimeout(patience)
      for (const cleanup of cleanups.splice(0)) cleanup()
      this.#open.delete(end)
      leave()
    }
    this.#open.add(end)
    gone.addEventListener('abort', () => end('away'), { once: true })
    void ended.promise.then(close)
    const utf8 = new TextEncoder()
    return new ReadableStream<Uint8Array>(
      {
        // Asked for only when there is room: who is slow is behind, and what they haven't read is in the database.
        pull: async (controller) => {
          clearTimeout(patience)
          try {
            const { value, done } = await words.next()
            if (done) return controller.close()
            controller.enqueue(utf8.encode(value))
            patience = setTimeout(() => {
              end('slow')
              controller.error(new Error('the reader was too slow'))
            }, this.#times.patienceMs)
          } catch (error) {
            log.warn({ err: error }, 'somebody who follows the audit trail was left')
            end('away')
            controller.error(error)
          }
        },
        cancel: () => end('away'),
      },
      { highWaterMark: 0 },
    )
  }

  async *#words(filter: EventFilter, from: StoredPosition, ended: Promise<End>, check: () => Promise<void>) {
    const { db, audit } = this.deps
    let after = from
    let spoke = Date.now()
    let over: End | undefined
    void ended.then((why) => {
      over = why
    })
    yield `retry: 1000\nid: ${idOf(after)}\n\n`
    for (;;) {
      const word = this.notices.next()
      const upTo = await storedUpTo(db)
      const rows =
        upTo < after.batch ? [] : await fromAudit(selectStored(audit, { after, upTo, filter, limit: AT_ONCE }))
      if (over) break
      const isAll = rows.length < AT_ONCE
      const last = rows.at(-1)
      if (last) after = { batch: last.batch, index: last.batch_index }
      if (isAll && upTo > after.batch) after = { batch: upTo, index: LAST_INDEX }
      if (rows.length > 0) {
        yield rows
          .map((row) => {
            const id = idOf({ batch: row.batch, index: row.batch_index })
            return `id: ${id}\nevent: audit\ndata: ${JSON.stringify(toEvent(row))}\n\n`
          })
          .join('')
        spoke = Date.now()
      }
      if (over) break
      if (!isAll) continue
      await Promise.race([word, ended, Bun.sleep(Math.max(0, spoke + this.#times.heartbeatMs - Date.now()))])
      if (over) break
      if (Date.now() - spoke < this.#times.heartbeatMs) continue
      // Also in case the bus has lost the news.
      await check()
      if (over) break
      yield `id: ${idOf(after)}\n\n`
      spoke = Date.now()
    }
    if (over === 'revoked' || over === 'renew' || over === 'stopping')
      yield `event: end\ndata: {"reason":"${over}"}\n\n`
  }
}

const idOf = ({ batch, index }: StoredPosition): string => `${batch}.${index}`

function readPosition(text: string): StoredPosition {
  const [, batch, index] = /^(\d{1,15})\.(\d{1,10})$/.exec(text) ?? []
  if (batch === undefined || Number(index) > LAST_INDEX) throw tailErrors.badEventId()
  return { batch: Number(batch), index: Number(index) }
}

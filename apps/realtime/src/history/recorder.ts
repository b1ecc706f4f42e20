import { type CallEnding, type CallReport, MAX_CALL_REPORTS, type MessagingPort } from '@conntext/contracts'
import { AppError, type Clock, type Logger } from '@conntext/kernel'
import type { Participant } from '../calls/participant.ts'

export type RecorderDeps = {
  messaging: Pick<MessagingPort, 'recordCalls'>
  /** Who is in this node's calls. */
  present(): Participant[]
  clock: Clock
  log: Logger
}

/** What begins and ends is gathered for a moment; who is there is told again so often. */
const GATHERED_MS = 250
const AGAIN_EVERY_MS = 15_000
const RETRY_MS = { first: 500, longest: 10_000 }
// Of participations that are over, while nobody takes them: an hour of a busy node.
const MOST_OWED = 20_000
const LAST_WORDS_MS = 3_000

/**
 * Tells messaging, which keeps it, who is and was in this node's calls. While it is away what is over waits here, as much
 * as there is room for; who is still there is told again in any case, which is how it is known that this node lives.
 */
export class Recorder {
  /** The newest of each, in the order in which it began to be owed. */
  readonly #owed = new Map<string, CallReport>()
  #sending: Promise<void> | undefined
  #timer: Timer | undefined
  #again: Timer | undefined
  #failures = 0
  #dropped = 0
  #stopped = false

  constructor(private readonly deps: RecorderDeps) {}

  start(): void {
    this.#stopped = false
    this.#again = setInterval(() => this.tellAll(), AGAIN_EVERY_MS)
  }

  /** Tells what it owes, unless that takes too long. */
  async stop(): Promise<void> {
    clearInterval(this.#again)
    clearTimeout(this.#timer)
    this.#stopped = true
    const last = (async () => {
      await this.#sending
      while (this.#owed.size > 0) if (!(await this.#send())) return
    })()
    await Promise.race([last, Bun.sleep(LAST_WORDS_MS)])
    if (this.#owed.size > 0) this.deps.log.warn({ participations: this.#owed.size }, 'history of calls was not told')
  }

  entered(participant: Participant): void {
    this.#owe(toReport(participant, null))
  }

  over(participant: Participant, ending: CallEnding): void {
    this.#owe(toReport(participant, { at: this.deps.clock.now(), ending }))
  }

  /** How many participations wait to be told. */
  get owed(): number {
    return this.#owed.size
  }

  tellAll(): void {
    for (const participant of this.deps.present()) this.#owe(toReport(participant, null))
  }

  #owe(report: CallReport): void {
    this.#owed.set(report.id, report)
    for (const id of this.#owed.keys()) {
      if (this.#owed.size <= MOST_OWED) break
      this.#owed.delete(id)
      this.#dropped += 1
    }
    this.#soon(GATHERED_MS)
  }

  #soon(ms: number): void {
    if (this.#stopped || this.#timer || this.#sending) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#sending = this.#sendAll().finally(() => {
        this.#sending = undefined
        if (this.#owed.size === 0) return
        this.#soon(Math.min(RETRY_MS.longest, RETRY_MS.first * 2 ** Math.min(this.#failures, 10)))
      })
    }, ms)
  }

  async #sendAll(): Promise<void> {
    while (this.#owed.size > 0 && !this.#stopped) if (!(await this.#send())) return
  }

  /** Answers whether it was taken. */
  async #send(): Promise<boolean> {
    const reports = [...this.#owed.values()].slice(0, MAX_CALL_REPORTS)
    try {
      await this.deps.messaging.recordCalls({ reports })
      if (this.#failures > 0 || this.#dropped > 0) {
        this.deps.log.info({ dropped: this.#dropped }, 'history of calls is taken again')
      }
      this.#failures = 0
      this.#dropped = 0
    } catch (error) {
      // What isn't understood wouldn't be the next time.
      const isLost = error instanceof AppError && error.status === 422
      if (this.#failures === 0 || isLost) this.deps.log.warn({ err: error }, 'history of calls was not taken')
      this.#failures += 1
      if (!isLost) return false
    }
    // What was said of somebody meanwhile is still owed.
    for (const report of reports) if (this.#owed.get(report.id) === report) this.#owed.delete(report.id)
    return true
  }
}

const toReport = (
  { id, userId, call, joinedAt, used }: Participant,
  over: { at: Date; ending: CallEnding } | null,
): CallReport => ({
  ...{ id, callId: call.id, channelId: call.channelId, userId, joinedAt: joinedAt.toISOString() },
  leftAt: over === null ? null : over.at.toISOString(),
  ending: over === null ? null : over.ending,
  ...used,
  peak: Math.max(1, call.peak),
})

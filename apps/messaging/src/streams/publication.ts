import type { Bus } from '@conntext/bus'
import { encodeNews, subjects } from '@conntext/contracts'
import type { Logger } from '@conntext/kernel'
import type { Appended } from '@conntext/streams'

/** A transaction's turn to publish. It must be used, one way or the other, or the streams' later events wait for ever. */
export type Turn = {
  /** After the commit: publishes the events, each stream's as soon as all earlier turns of that stream are over. */
  publish(events: Appended[]): void
  /** After a rollback. */
  forgo(): void
}

type Waiting = { events: Map<string, Appended[]> | undefined }

/**
 * Publishes each stream's events in the order of their numbers. Transactions that append to a stream come one after the
 * other, but word of their commits arrives over several connections: a turn, taken while the stream is locked, keeps
 * that order.
 */
export class Publication {
  readonly #queues = new Map<string, Waiting[]>()
  readonly #underWay = new Set<Promise<unknown>>()

  constructor(
    private readonly bus: Bus,
    private readonly log: Logger,
  ) {}

  /** Takes a turn in these streams, all of which the caller's transaction holds locked. */
  takeTurn(streams: Iterable<string>): Turn {
    const names = [...new Set(streams)]
    const waiting: Waiting = { events: undefined }
    for (const name of names) {
      const queue = this.#queues.get(name)
      if (queue) queue.push(waiting)
      else this.#queues.set(name, [waiting])
    }
    const settle = (events: Appended[]) => {
      waiting.events = Map.groupBy(events, (event) => event.stream)
      for (const name of names) this.#advance(name)
    }
    return { publish: settle, forgo: () => settle([]) }
  }

  /** Resolves when the bus has taken all that was published so far. */
  async settled(): Promise<void> {
    await Promise.all(this.#underWay)
  }

  #advance(name: string): void {
    const queue = this.#queues.get(name) ?? []
    while (queue[0]?.events) this.#publish(queue.shift()?.events?.get(name) ?? [])
    if (queue.length === 0) this.#queues.delete(name)
  }

  // The next event doesn't wait for the bus to have taken the one before: calls in order are enough.
  #publish(events: Appended[]): void {
    if (events.length === 0) return
    const sent = Promise.all(
      events.map(({ stream, seq, frame }) =>
        this.bus
          .publish(subjects.stream(stream), encodeNews(seq, frame))
          .catch((error) =>
            this.log.warn({ err: error, stream, seq }, 'an event could not be published; gateways will fetch it'),
          ),
      ),
    )
    this.#underWay.add(sent)
    sent.finally(() => this.#underWay.delete(sent))
  }
}

import { MAX_EVENTS, type MessagingPort, type StreamEvent, type SystemPort, streamChannel } from '@conntext/contracts'

/** Where streams come from: their owners, asked by batches. */
export type StreamSource = {
  /** Where each stream stands; 0 where nothing has happened. */
  heads(streams: string[]): Promise<Map<string, number>>
  /** The next page of events after `after`; `truncated` when the log does not reach back to it. */
  events(stream: string, after: number): Promise<{ events: StreamEvent[]; truncated: boolean }>
}

type StreamPort = Pick<SystemPort, 'streamHeads' | 'streamEvents'>

const HEADS_BATCH = 1_000

/** A channel's stream is kept by messaging, the server's and the users' by system. */
export function streamSource(ports: {
  system: StreamPort
  messaging: Pick<MessagingPort, keyof StreamPort>
}): StreamSource {
  const ownerOf = (stream: string): StreamPort => (streamChannel(stream) === undefined ? ports.system : ports.messaging)

  const batch = async (owner: StreamPort, streams: string[]) =>
    Object.entries((await owner.streamHeads({ streams })).heads)

  return {
    async heads(streams) {
      const calls: Promise<[string, number][]>[] = []
      for (const owner of [ports.system, ports.messaging]) {
        const own = streams.filter((stream) => ownerOf(stream) === owner)
        for (let at = 0; at < own.length; at += HEADS_BATCH) calls.push(batch(owner, own.slice(at, at + HEADS_BATCH)))
      }
      return new Map((await Promise.all(calls)).flat())
    },
    events: (stream, after) => ownerOf(stream).streamEvents({ stream, after, limit: MAX_EVENTS }),
  }
}

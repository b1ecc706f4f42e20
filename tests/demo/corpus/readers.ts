import { type Api, GatewayClient, type StreamEvent } from '@conntext/sdk'
import { eventually } from '@conntext/testing'
import type { Person } from '../../conversation/people.ts'
import { hold, wholeHistory } from '../../conversation/scenario.ts'
import type { BroughtChannel, Member } from './bring-in.ts'
import type { Author } from './plan.ts'

export type Reader = {
  gateway: GatewayClient
  /** What came over the connection, by stream. */
  streams: Map<string, StreamEvent[]>
  resets: string[]
}

/** Connects, from the cursors on where they are given, and keeps what comes. */
export async function connectReader(api: Api, cursors?: Record<string, number>): Promise<Reader> {
  const gateway = new GatewayClient({ baseUrl: api.baseUrl, token: () => api.accessToken() })
  const reader: Reader = { gateway, streams: new Map(), resets: [] }
  gateway.on('event', (event) => {
    const events = reader.streams.get(event.stream)
    if (events) events.push(event)
    else reader.streams.set(event.stream, [event])
  })
  gateway.on('reset', ({ stream }) => void reader.resets.push(stream))
  await gateway.connect(cursors)
  return reader
}

const WITHIN_MS = 120_000

/** The reader gets every message, once, in the order of its channel and as it was acknowledged. */
export async function checkReader({ streams, resets }: Reader, channels: BroughtChannel[]): Promise<void> {
  const cameOf = (channel: BroughtChannel) =>
    (streams.get(`channel:${channel.id}`) ?? []).filter((event) => event.t === 'message.created')
  await eventually(() => channels.every((channel) => cameOf(channel).length >= channel.sent.length), WITHIN_MS)
  hold(resets.length === 0, `${resets.length} streams had to be begun anew`)
  for (const channel of channels) {
    const came = cameOf(channel) as StreamEvent<'message.created'>[]
    hold(
      came.length === channel.sent.length,
      `${came.length} messages of ${channel.sent.length} came in ${channel.name}`,
    )
    came.forEach((event, i) => {
      const { message } = channel.sent[i]!
      const same = event.seq === message.seq && Bun.deepEquals(event.d, message)
      hold(same, `message ${message.seq} of ${channel.name} came changed, or not in its order`)
    })
  }
}

/** History, read page by page, holds every message in order, by its author, as the mails have it, and nothing else. */
export async function checkHistories(
  reader: Person,
  channels: BroughtChannel[],
  members: Map<Author, Member>,
  step: () => void,
): Promise<void> {
  for (const { id, name, sent } of channels) {
    const history = await wholeHistory(reader, id)
    hold(history.length === sent.length, `${name} has ${history.length} messages of ${sent.length}`)
    history.forEach((message, i) => {
      const { planned } = sent[i]!
      const parent = planned.replyTo === null ? null : history[planned.replyTo]!.id
      const what = `message ${message.seq} of ${name}`
      hold(message.content === planned.content, `${what} is not what the mail says`)
      hold(message.authorId === members.get(planned.author)!.id, `${what} has another author`)
      hold(message.replyTo === parent, `${what} answers another message`)
      hold(message.id === sent[i]!.message.id, `${what} is another message`)
      step()
    })
  }
}

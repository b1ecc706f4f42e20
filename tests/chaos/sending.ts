import { type Message, ProblemError, sendMessage, unwrap } from '@conntext/sdk'
import type { Community, Device } from './community.ts'

const PAUSE_MS = 600
const AGAIN_MS = 100

export type Acknowledged = Pick<Message, 'id' | 'channelId' | 'seq' | 'nonce'>

/**
 * Some of the devices write all the time, each in channels that it sees, over its connection and by requests in turn. A
 * request that fails is made again, with its nonce, until there is an answer.
 */
export function startSending({ devices, channels, square }: Community, senders: number) {
  const acknowledged: Acknowledged[] = []
  let running = true

  const keep = (message: Message): Message => {
    const { id, channelId, seq, nonce } = message
    acknowledged.push({ id, channelId, seq, nonce })
    return message
  }

  const work = async (device: Device, index: number) => {
    const seen = channels.filter((id) => device.recorder.began.has(`channel:${id}`))
    for (let count = 0; running; count += 1) {
      const channelId = seen[(index * 7 + count) % seen.length]!
      keep(await send(device, channelId, `${device.name} writes ${count}`, count % 2 === 0))
      await Bun.sleep(PAUSE_MS)
    }
  }
  const workers = Promise.all(devices.slice(0, senders).map(work))

  return {
    acknowledged,
    /** Writes one message where everybody sees it. */
    mark: async (): Promise<Message> => keep(await send(devices.at(-1)!, square, 'everybody hears this', false)),
    async stop() {
      running = false
      await workers
    },
  }
}

async function send({ gateway, api }: Device, channelId: string, content: string, live: boolean): Promise<Message> {
  const nonce = crypto.randomUUID()
  const request = { client: api.client, path: { channelId }, body: { content, nonce } }
  for (;;) {
    try {
      return await (live ? gateway.send({ channelId, content, nonce }) : unwrap(sendMessage(request)))
    } catch (error) {
      // What is refused now will be refused again; a part that is away comes back, and the nonce makes a repeat harmless.
      if (error instanceof ProblemError && error.status < 500) throw error
      await Bun.sleep(AGAIN_MS)
    }
  }
}

import { eventually } from '@conntext/testing'
import { capabilities, type Signalling } from '@conntext/testing/media'
import type { Socket } from '../websocket/client.ts'

// biome-ignore lint/suspicious/noExplicitAny: what ops are answered with, looked at as a client sees it
type Answer = any

/** What an op is answered with. @throws where it is refused */
export async function gets(socket: Socket, frame: object): Promise<Answer> {
  const { ok, d, error } = await socket.ask(frame)
  if (!ok) throw new Error(`${JSON.stringify(frame).slice(0, 200)}: ${JSON.stringify(error)}`)
  return d
}

/** Joins a call, as soon as there can be any: the media worker may be on its way yet. */
export const join = (socket: Socket, channelId: string, resume?: string): Promise<Answer> =>
  eventually(async () => {
    const { ok, d, error } = await socket.ask({
      ...{ op: 'voice.join', channelId, rtpCapabilities: capabilities },
      ...(resume === undefined ? {} : { resume }),
    })
    if (ok) return d
    if (error!.status !== 503 && error!.status !== 429) throw new Error(error!.code)
    await Bun.sleep(200)
    return undefined
  }, 30_000)

export const signallingOf = (socket: Socket): Signalling => ({
  createTransport: (direction) => gets(socket, { op: 'voice.createTransport', direction }),
  connectTransport: (transportId, dtlsParameters) =>
    gets(socket, { op: 'voice.connectTransport', transportId, dtlsParameters }),
  produce: (asked) => gets(socket, { op: 'voice.produce', ...asked }),
  consume: (transportId, producerId) => gets(socket, { op: 'voice.consume', transportId, producerId }),
  resumeConsumer: (consumerId) => gets(socket, { op: 'voice.resumeConsumer', consumerId }),
})

/** The media workers of a deployment's processes. */
export function workersOf(processes: { pid: number }[]): number[] {
  const { stdout } = Bun.spawnSync(['ps', '-o', 'pid=,args=', '--ppid', processes.map(({ pid }) => pid).join()])
  return stdout
    .toString()
    .split('\n')
    .filter((line) => line.includes('mediasoup-worker'))
    .map((line) => Number.parseInt(line, 10))
}

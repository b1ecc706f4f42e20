import type { ServerWebSocket } from 'bun'

export type Frame = Record<string, unknown> & { op: string; id?: number }
type Socket = ServerWebSocket<unknown>

/** A gateway that does as the test says: it keeps what it is sent, and answers by `on`. */
export function startPeer(on: (frame: Frame, socket: Socket, connection: number) => void, heartbeatMs = 30_000) {
  const frames: Frame[] = []
  let connections = 0
  const numbers = new WeakMap<Socket, number>()
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch: (request, self) => (self.upgrade(request) ? undefined : new Response('no', { status: 400 })),
    websocket: {
      open(socket) {
        connections += 1
        numbers.set(socket, connections)
        const limits = { maxFrameBytes: 524_288, framesPerSecond: 200, identifyMs: 10_000 }
        socket.send(JSON.stringify({ op: 'hello', heartbeatMs, connectionId: String(connections), limits }))
      },
      message(socket, data) {
        const frame = JSON.parse(String(data)) as Frame
        frames.push(frame)
        on(frame, socket, numbers.get(socket)!)
      },
    },
  })
  return {
    baseUrl: `http://127.0.0.1:${server.port}`,
    frames,
    connections: () => connections,
    [Symbol.dispose]: () => void server.stop(true),
  }
}

const CHANNEL = 'a'

export const ready = (streams: Record<string, number>, resumed = false) =>
  JSON.stringify({
    ...{
      op: 'ready',
      user: { id: 'me' },
      channels: [{ id: CHANNEL }],
      roles: [],
      dms: [],
      presences: [],
      voiceStates: [],
    },
    ...{ streams, resumed },
  })

export const event = (stream: string, seq: number) =>
  JSON.stringify({
    ...{ op: 'event', t: 'message.created', stream, seq, at: '' },
    d: { channelId: CHANNEL, authorId: 'you', seq, content: `${seq}` },
  })

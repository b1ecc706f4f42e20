import { identify } from '../lib/identify.ts'
import type { startBenchServer } from '../lib/server.ts'
import { openListeners, sendWindowed, stamped } from '../lib/sockets.ts'

export type BenchServer = Awaited<ReturnType<typeof startBenchServer>>
export type BenchChannel = Awaited<ReturnType<typeof openChannel>>

// What many send is delivered to all of these: how far that goes is what `fanout` measures.
const CONNECTIONS = 8

/** The server's channel, with those who send into it. */
export async function openChannel(bench: BenchServer) {
  const url = `${bench.server.url.replace('http', 'ws')}/v1/gateway`
  const token = await bench.api.accessToken()
  const all = await openListeners(url, CONNECTIONS, identify(token))
  const sockets = all.map(({ socket }) => socket)
  let next = 0
  return {
    sockets,
    url,
    token,
    connectionsFor: (senders: number) => Math.min(senders, CONNECTIONS),
    frame: () =>
      JSON.stringify({
        op: 'message.send',
        id: next,
        channelId: bench.channelId,
        nonce: `n${next++}`,
        content: stamped(),
      }),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) {
        socket.onclose = null
        socket.close()
      }
    },
  }
}

/** Sends `total` messages, `senders` of them unanswered at any time; resolves when all have their answers. */
export async function sendAtOnce(
  { sockets, frame, connectionsFor }: BenchChannel,
  { senders, total }: { senders: number; total: number },
): Promise<void> {
  const connections = connectionsFor(senders)
  const each = { total: total / connections, window: senders / connections, frame }
  await Promise.all(sockets.slice(0, connections).map((socket) => sendWindowed(socket, each)))
}

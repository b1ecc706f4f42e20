/** A WebSocket that only counts: what it receives, and how long after it was sent. */
export type Listener = { socket: WebSocket; received: number; latencies: number[]; frameLength: number }

const STAMP = /"content":"(\d+\.?\d*) /

/** Opens `count` sockets, lets each `begin`, and waits until all of them are ready to receive. */
export async function openListeners(
  url: string,
  count: number,
  begin: (socket: WebSocket, ready: () => void) => void,
): Promise<Listener[]> {
  const open = () =>
    new Promise<Listener>((resolve, reject) => {
      const socket = new WebSocket(url)
      const listener: Listener = { socket, received: 0, latencies: [], frameLength: 0 }
      socket.onerror = () => reject(new Error('a socket could not be opened'))
      begin(socket, () => {
        socket.onmessage = ({ data }) => take(listener, data as string)
        resolve(listener)
      })
    })
  const all: Listener[] = []
  // In groups: a listen backlog is shorter than some of the crowds here.
  while (all.length < count) {
    all.push(...(await Promise.all(Array.from({ length: Math.min(50, count - all.length) }, open))))
  }
  return all
}

function take(listener: Listener, data: string): void {
  const sent = STAMP.exec(data)?.[1]
  if (sent === undefined) return
  listener.received += 1
  listener.frameLength = data.length
  // One in eight is enough for percentiles, and costs the measuring side less.
  if (listener.received % 8 === 0) listener.latencies.push(performance.now() - Number(sent))
}

/** Content that tells when it was sent, padded to a message of ordinary length. */
export const stamped = (): string => `${performance.now()} ${'lorem ipsum dolor sit amet '.repeat(3)}`

/** Sends `total` frames with at most `window` unanswered, and resolves when the last one has its answer. */
export function sendWindowed(
  socket: WebSocket,
  options: { total: number; window: number; frame: (index: number) => string },
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let sent = 0
  let answered = 0
  const send = () => {
    if (sent < options.total) socket.send(options.frame(sent++))
  }
  socket.onmessage = ({ data }) => {
    const text = data as string
    if (!text.startsWith('{"op":"reply"')) return
    if (text.includes('"ok":false')) reject(new Error(`refused: ${text}`))
    answered += 1
    if (answered === options.total) resolve()
    else send()
  }
  socket.onclose = ({ code }) => reject(new Error(`the sender was closed with ${code}`))
  for (let i = 0; i < options.window; i += 1) send()
  return promise
}

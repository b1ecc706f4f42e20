import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** A way to a server that can be cut, held up and counted. */
export async function proxyTo(target: string) {
  const { hostname, port } = new URL(target)
  const sockets = new Set<Socket>()
  let state: 'open' | 'cut' | 'silent' = 'open'
  let bytes = 0
  const server = createServer((client) => {
    if (state === 'cut') return client.destroy()
    sockets.add(client)
    client.on('error', () => {}).on('close', () => sockets.delete(client))
    if (state === 'silent') return client.resume()
    const upstream = connect(Number(port), hostname)
    upstream.on('error', () => client.destroy()).on('close', () => client.destroy())
    client.on('close', () => upstream.destroy())
    for (const socket of [client, upstream]) {
      socket.on('data', (chunk) => {
        bytes += chunk.length
      })
    }
    client.pipe(upstream).pipe(client)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    /** Bytes that went through, both ways. */
    bytes: () => bytes,
    connections: () => sockets.size,
    /** `cut` breaks every connection and takes no more; `silent` takes them, and never answers. */
    set(next: typeof state) {
      state = next
      if (state !== 'open') for (const socket of sockets) socket.destroy()
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

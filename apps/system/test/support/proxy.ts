import { createServer, type Socket, connect as tcpConnect } from 'node:net'

/** A TCP proxy in front of a server, so that a test can take that server away and bring it back. */
export async function startProxy(target: string) {
  const { hostname, port } = new URL(target)
  const open = new Set<Socket>()
  let isUp = true
  const server = createServer((client) => {
    if (!isUp) return void client.destroy()
    const upstream = tcpConnect(Number(port), hostname)
    for (const socket of [client, upstream]) {
      open.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        open.delete(socket)
        client.destroy()
        upstream.destroy()
      })
    }
    client.pipe(upstream).pipe(client)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address() as { port: number }
  return {
    url: `http://127.0.0.1:${address.port}`,
    away() {
      isUp = false
      for (const socket of open) socket.destroy()
    },
    back() {
      isUp = true
    },
    async close() {
      for (const socket of open) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

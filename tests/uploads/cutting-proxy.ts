import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

const CUT_AFTER_MS = 100

/**
 * A way to a server that breaks: after so many bytes from clients, each time anew, it cuts all connections off without a
 * word. With nothing left to cut at, it only passes things on.
 */
export async function cuttingProxy(port: number, cuts: number[]) {
  const left = [...cuts]
  let passed = 0
  const sockets = new Set<Socket>()
  const cut = () => {
    for (const socket of sockets) socket.resetAndDestroy()
  }
  const server = createServer((client) => {
    const upstream = connect(port, '127.0.0.1')
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        client.destroy()
        upstream.destroy()
      })
    }
    client.on('data', (data) => {
      if (!upstream.write(data)) client.pause()
      passed += data.length
      if (left[0] === undefined || passed < left[0]) return
      left.shift()
      passed = 0
      client.pause()
      // What is under way gets there; a reset would take back what nobody has read yet.
      setTimeout(cut, CUT_AFTER_MS)
    })
    upstream.on('drain', () => client.resume())
    upstream.pipe(client)
  })
  server.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cutsLeft: () => left.length,
    [Symbol.dispose]() {
      cut()
      server.close()
    },
  }
}

// Bare Bun.serve: a client follows the topics in the address that it connects to; what one sends is published under the
// topic in its first line, and acknowledged.
import '../lib/collect.ts'
import { endWithParent } from './parent.ts'

const server = Bun.serve<{ topics: string[] }>({
  port: 0,
  hostname: '127.0.0.1',
  fetch(request, self) {
    const topics = new URL(request.url).pathname.slice(1).split(',')
    return self.upgrade(request, { data: { topics } }) ? undefined : new Response('ok')
  },
  websocket: {
    // As ours: who is gone is not found out by Bun's own means.
    idleTimeout: 0,
    sendPings: false,
    open(socket) {
      for (const topic of socket.data.topics) socket.subscribe(topic)
    },
    message(socket, data) {
      const text = data as string
      const end = text.indexOf('\n')
      server.publish(text.slice(0, end), text.slice(end + 1))
      socket.send('{"op":"reply"}')
    },
  },
})
console.log(server.port)
endWithParent()

// Bare Bun.serve: every client subscribes to one topic, and each request that changes something is published to it.
import { endWithParent } from './parent.ts'

const TOPIC = 'all'
const server = Bun.serve({
  port: 0,
  hostname: '127.0.0.1',
  async fetch(request, self) {
    if (request.method === 'GET') return self.upgrade(request) ? undefined : new Response('ok')
    const change = await request.text()
    server.publish(TOPIC, change)
    return new Response(change)
  },
  websocket: {
    open: (socket) => void socket.subscribe(TOPIC),
    message() {},
  },
})
console.log(server.port)
endWithParent()

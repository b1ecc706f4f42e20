// Bare Bun.serve: every client subscribes to one topic; what one sends is published to all, and acknowledged.
import { endWithParent } from './parent.ts'

const TOPIC = 'all'
const server = Bun.serve({
  port: 0,
  hostname: '127.0.0.1',
  fetch: (request, self) => (self.upgrade(request) ? undefined : new Response('ok')),
  websocket: {
    open: (socket) => void socket.subscribe(TOPIC),
    message(socket, frame) {
      server.publish(TOPIC, frame)
      socket.send('{"op":"reply"}')
    },
  },
})
console.log(server.port)
endWithParent()

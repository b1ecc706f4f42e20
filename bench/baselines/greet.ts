// Bare Bun.serve: whoever says something gets one frame, of the length in the address that they connected to.
import { endWithParent } from './parent.ts'

const server = Bun.serve<{ frame: string }>({
  port: 0,
  hostname: '127.0.0.1',
  fetch(request, self) {
    const bytes = Number(new URL(request.url).pathname.slice(1))
    return self.upgrade(request, { data: { frame: frameOf(bytes) } }) ? undefined : new Response('ok')
  },
  websocket: {
    idleTimeout: 0,
    sendPings: false,
    message: (socket) => void socket.send(socket.data.frame),
  },
})

let last = ''

function frameOf(bytes: number): string {
  if (last.length !== bytes) last = `{"op":"ready","padding":"`.padEnd(bytes - 2, 'x').concat('"}')
  return last
}

console.log(server.port)
endWithParent()

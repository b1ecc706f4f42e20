/** What a bare client does to be let in, and to stay: waits for hello, identifies, is ready, and beats its heart. */
export const identify = (token: string) => (socket: WebSocket, ready: () => void) => {
  socket.onmessage = ({ data }) => {
    const text = data as string
    if (text.startsWith('{"op":"hello"')) {
      socket.send(JSON.stringify({ op: 'identify', token }))
      const { heartbeatMs } = JSON.parse(text) as { heartbeatMs: number }
      const timer = setInterval(() => {
        if (socket.readyState === WebSocket.OPEN) socket.send('{"op":"heartbeat"}')
        else clearInterval(timer)
      }, heartbeatMs / 2)
    } else if (text.startsWith('{"op":"ready"')) ready()
  }
}

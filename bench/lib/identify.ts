/** What a bare client does to be let in: waits for hello, identifies, and is ready. */
export const identify = (token: string) => (socket: WebSocket, ready: () => void) => {
  socket.onmessage = ({ data }) => {
    const text = data as string
    if (text.startsWith('{"op":"hello"')) socket.send(JSON.stringify({ op: 'identify', token }))
    else if (text.startsWith('{"op":"ready"')) ready()
  }
}

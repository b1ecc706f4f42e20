/**
 * A keep-alive HTTP/1.1 client that does as little as possible, so that the server is what is measured: over
 * `connections` sockets, one request at a time on each. Answers requests per second and the failed ones.
 */
export async function loadHttp(options: {
  port: number
  path: string
  headers?: Record<string, string>
  connections: number
  seconds: number
}): Promise<{ perSecond: number; failed: number }> {
  const lines = Object.entries({ host: 'localhost', ...options.headers }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  )
  const request = `GET ${options.path} HTTP/1.1\r\n${lines.join('')}\r\n`
  let done = 0
  let failed = 0
  let running = true
  const connect = () =>
    new Promise<void>((resolve, reject) => {
      let buffered = ''
      void Bun.connect({
        hostname: '127.0.0.1',
        port: options.port,
        socket: {
          open: (socket) => void socket.write(request),
          data(socket, chunk) {
            buffered += chunk.toString('latin1')
            const length = answerLength(buffered)
            if (length === undefined || buffered.length < length) return
            if (!buffered.startsWith('HTTP/1.1 200')) failed += 1
            buffered = buffered.slice(length)
            done += 1
            if (running) socket.write(request)
            else socket.end()
          },
          close: () => resolve(),
          error: (_, error) => reject(error),
          connectError: (_, error) => reject(error),
        },
      })
    })
  const began = performance.now()
  const all = Promise.all(Array.from({ length: options.connections }, connect))
  await Bun.sleep(options.seconds * 1000)
  running = false
  const elapsed = (performance.now() - began) / 1000
  const counted = done
  await all
  return { perSecond: counted / elapsed, failed }
}

function answerLength(text: string): number | undefined {
  const head = text.indexOf('\r\n\r\n')
  if (head < 0) return undefined
  const length = /content-length: (\d+)/i.exec(text.slice(0, head))?.[1]
  if (length === undefined) throw new Error('an answer without a length')
  return head + 4 + Number(length)
}

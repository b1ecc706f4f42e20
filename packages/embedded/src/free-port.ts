import { createServer } from 'node:net'

/**
 * A loopback port that was free a moment ago. Whoever can let the system choose (bind to 0) should do that instead;
 * whoever can't must try again with another port when this one was taken meanwhile.
 */
export async function freePort(): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const server = createServer()
  server.once('error', reject)
  server.listen({ host: '127.0.0.1', port: 0, exclusive: true }, () => {
    const address = server.address()
    if (address === null || typeof address === 'string') return reject(new Error('No TCP address'))
    server.close(() => resolve(address.port))
  })
  return promise
}

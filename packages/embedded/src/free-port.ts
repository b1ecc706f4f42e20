import { createServer } from 'node:net'

// Systems give ports from 32768 on (Linux) or 49152 on (others) to whoever asks for any, outgoing connections among them.
// Above 10080, which browsers and Node refuse to speak HTTP with.
const LOWEST = 11_000
const HIGHEST = 32_767
const MOST_TRIES = 50

/**
 * A loopback port that was free a moment ago, and that the system gives to nobody by itself. Whoever can let the system
 * choose (bind to 0) should do that instead; whoever can't must try again with another port when this one was taken meanwhile.
 */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < MOST_TRIES; tries += 1) {
    const port = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST + 1))
    if (await isFree(port)) return port
  }
  throw new Error(`None of ${MOST_TRIES} ports from ${LOWEST} to ${HIGHEST} is free`)
}

function isFree(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const server = createServer()
  server.once('error', () => resolve(false))
  server.listen({ host: '127.0.0.1', port, exclusive: true }, () => server.close(() => resolve(true)))
  return promise
}

// A process that has many requests under way, none of which is answered, and makes one more.
import { allowManyRequests } from '../../src/many-requests.ts'

allowManyRequests()
const server = Bun.serve({
  port: 0,
  idleTimeout: 0,
  fetch: ({ url }) => (url.endsWith('/hang') ? new Promise<Response>(() => {}) : new Response('answered')),
})
const ask = (path: string, ms = 60_000) =>
  fetch(`http://127.0.0.1:${server.port}${path}`, { signal: AbortSignal.timeout(ms) })
for (let i = 0; i < 400; i += 1) ask('/hang').catch(() => {})
const answer = await ask('/', 20_000).then(
  (response) => response.text(),
  (error: Error) => error.name,
)
console.log(`${answer} ${process.argv.slice(2).join()}`)
process.exit(0)

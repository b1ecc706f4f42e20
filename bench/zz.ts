import { identify } from './lib/identify.ts'
import { startBenchServer } from './lib/server.ts'
import { openListeners, sendWindowed, stamped } from './lib/sockets.ts'

await using bench = await startBenchServer()
const token = await bench.api.accessToken()
const [s] = await openListeners(`${bench.server.url.replace('http', 'ws')}/v1/gateway`, 1, identify(token))
let n = 0
const frame = () =>
  JSON.stringify({ op: 'message.send', id: n, channelId: bench.channelId, nonce: `n${n++}`, content: stamped() })
for (const [w, t] of [
  [1, 200],
  [1, 200],
  [4, 400],
  [32, 3000],
  [256, 8000],
  [256, 16000],
] as const) {
  const b = performance.now()
  await sendWindowed(s!.socket, { total: t, window: w, frame })
  const ms = performance.now() - b
  console.log({ window: w, perSecond: Math.round((t / ms) * 1000), latencyMs: ((ms * w) / t).toFixed(2) })
}
const fs = await import('node:fs')
const fd = fs.openSync('/tmp/pf/f', 'w')
const b = performance.now()
for (let i = 0; i < 100; i++) {
  fs.writeSync(fd, 'x'.repeat(8192))
  fs.fdatasyncSync(fd)
}
console.log('fdatasync ms', (performance.now() - b) / 100)
process.exit(0)

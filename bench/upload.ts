import { unwrap, updateServer } from '@conntext/sdk'
import { watchMemory } from './lib/process.ts'
import { type Bench, cost, median, rate } from './lib/result.ts'
import { startBaseline, startBenchServer } from './lib/server.ts'

const MIB = 1024 * 1024
const ROUNDS = 3
const PART = 16 * MIB

type Place = { url: string; headers: Record<string, string> }

/**
 * One large file up and down again, through the gateway, hashed, stored for good and with its type found out, and up once
 * more in resumable parts; against a bare Bun.serve that copies the body into a file and sends that back, taking turns
 * in the same run. And what memory that takes.
 */
export const upload: Bench = async ({ quick }, report) => {
  const size = (quick ? 128 : 1024) * MIB
  await using bench = await startBenchServer()
  await using bare = await startBaseline('copy.ts')
  await unwrap(updateServer({ client: bench.api.client, body: { limits: { maxFileBytes: size } } }))
  const there: Place = { url: `http://127.0.0.1:${bare.port}`, headers: {} }
  const rates = { up: [] as number[], down: [] as number[], parts: [] as number[] }
  const bareRates = { up: [] as number[], down: [] as number[] }
  await using ours = watchMemory(bench.server.pid)
  await using theirs = watchMemory(bare.pid)
  for (let round = 0; round < ROUNDS; round += 1) {
    const headers = { authorization: `Bearer ${await bench.api.accessToken()}` }
    const here: Place = { url: `${bench.server.url}/v1/uploads`, headers }
    bareRates.up.push(await timed(size, () => send(there, size)))
    bareRates.down.push(await timed(size, () => receive(there, size)))
    let id = ''
    rates.up.push(
      await timed(size, async () => {
        id = ((await (await send(here, size)).json()) as { id: string }).id
      }),
    )
    const media = `${bench.server.url}/v1/media/${id}`
    rates.down.push(await timed(size, () => receive({ url: `${media}/content`, headers }, size)))
    rates.parts.push(
      await timed(size, async () => {
        await remove(await sendParts(here, size), headers)
      }),
    )
    await remove(media, headers)
  }
  await fetch(there.url, { method: 'DELETE' })
  const baselineOf = 'a bare Bun.serve that copies into a file, and syncs it'
  const bytes = { bytes: size }
  report(rate('up', 'MB/s', median(rates.up), median(bareRates.up), { baselineOf, ...bytes }))
  report(
    rate('resumable', 'MB/s', median(rates.parts), median(bareRates.up), { baselineOf, ...bytes, partBytes: PART }),
  )
  const sent = 'a bare Bun.serve that sends a file'
  report(rate('down', 'MB/s', median(rates.down), median(bareRates.down), { baselineOf: sent, ...bytes }))
  const baseline = { baselineOf: 'the same of the bare Bun.serve', ...bytes, before: ours.before() / MIB }
  report(cost('peak_memory', 'MiB', ours.peak() / MIB, theirs.peak() / MIB, baseline))
}

async function timed(size: number, work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return size / 1e6 / ((performance.now() - began) / 1000)
}

/** A body of so many bytes, which takes no memory: no two megabytes of it are the same. */
function body(size: number): ReadableStream<Uint8Array> {
  const block = crypto.getRandomValues(Buffer.alloc(64 * 1024))
  let sent = 0
  return new ReadableStream({
    pull(controller) {
      if (sent >= size) return controller.close()
      if (sent % MIB === 0) block.writeDoubleLE(sent + Math.random())
      controller.enqueue(Buffer.from(block))
      sent += block.length
    },
  })
}

async function send({ url, headers }: Place, size: number): Promise<Response> {
  const response = await fetch(url, { method: 'POST', headers, body: body(size) })
  if (response.status !== 201) throw new Error(`refused with ${response.status}: ${await response.text()}`)
  return response
}

/** By tus, part after part; answers the address of what it became. */
async function sendParts({ url, headers }: Place, size: number): Promise<string> {
  const tus = { ...headers, 'tus-resumable': '1.0.0' }
  const begun = await fetch(url, { method: 'POST', headers: { ...tus, 'upload-length': String(size) } })
  const path = begun.headers.get('location')
  if (!path) throw new Error(`refused with ${begun.status}`)
  for (let at = 0; at < size; at += PART) {
    const { status } = await fetch(new URL(path, url), {
      method: 'PATCH',
      headers: { ...tus, 'content-type': 'application/offset+octet-stream', 'upload-offset': String(at) },
      body: body(PART),
    })
    if (status !== 204) throw new Error(`a part was refused with ${status}`)
  }
  return new URL(path.replace('/uploads/', '/media/'), url).href
}

async function receive({ url, headers }: Place, size: number): Promise<void> {
  const response = await fetch(url, { headers })
  let received = 0
  for await (const chunk of response.body!) received += chunk.length
  if (received !== size) throw new Error(`${received} bytes instead of ${size}`)
}

const remove = async (url: string, headers: Record<string, string>): Promise<void> =>
  void (await fetch(url, { method: 'DELETE', headers }))

import { describe, expect, test } from 'bun:test'
import { readdirSync } from 'node:fs'
import { eventually } from '@conntext/testing'
import { Registry } from 'prom-client'
import { receive, send } from './support/media.ts'
import { hasWorker, skipped, startNodes } from './support/stack.ts'

const withWorker = hasWorker ? describe : describe.skip
const SENDERS = 5
const RECEIVERS = 30
const CONSUMERS = SENDERS * 2 * RECEIVERS
const CYCLES = 40

const fds = (pid: number | 'self') => readdirSync(`/proc/${pid}/fd`).length

withWorker(`a load of real media${skipped}`, () => {
  test(`${CONSUMERS} consumers over two workers each get what is sent, and nothing is left when all have gone`, async () => {
    const registry = new Registry()
    await using stack = await startNodes(1, {
      ...{ registry, workers: 2, maxParticipants: 100 },
      // So that the call outgrows its first worker.
      consumersPerWorker: CONSUMERS / 2,
    })
    const channel = await stack.voiceChannel()
    const people = await Promise.all(Array.from({ length: SENDERS + RECEIVERS }, () => stack.person()))
    const before = { own: fds('self'), workers: workers().map(fds) }
    const sending = []
    for (const one of people.slice(0, SENDERS)) {
      await one.join(channel.id)
      sending.push(await send(one))
    }
    const producerIds = sending.flatMap((one) => one.producerIds)
    const receiving = []
    for (const one of people.slice(SENDERS)) {
      await one.join(channel.id)
      receiving.push(await receive(one, producerIds))
    }
    const text = await registry.metrics()
    expect(count(text, 'conntext_voice_consumers')).toBe(CONSUMERS)
    // Every one of them, of every producer.
    await Promise.all(receiving.flatMap((one) => producerIds.map((id) => one.gets(id, 25))))
    // A worker that has much to do is left out for once.
    const cpu = await eventually(async () => {
      const known = await cpuSeconds(registry)
      return known.length === 2 ? known : undefined
    })
    for (const seconds of cpu) expect(seconds).toBeGreaterThan(0.05)
    for (const one of [...sending, ...receiving]) one.close()
    await Promise.all(people.map((one) => one.leave()))
    expect(count(await registry.metrics(), 'conntext_voice_consumers')).toBe(0)
    await eventually(() => workers().every((pid, index) => fds(pid) <= before.workers[index]! + 2))
    await eventually(() => fds('self') <= before.own + 4)
  }, 60_000)

  test(`${CYCLES} times somebody comes with real media and goes: no descriptor stays on either side`, async () => {
    await using stack = await startNodes(1)
    const channel = await stack.voiceChannel()
    const [anna, bert] = [await stack.person(), await stack.person()]
    await anna.join(channel.id)
    const sender = await send(anna)
    const cycle = async () => {
      await bert.join(channel.id)
      const receiver = await receive(bert, sender.producerIds)
      await receiver.first
      receiver.close()
      await bert.leave()
    }
    for (let number = 0; number < 5; number += 1) await cycle()
    const [worker] = workers()
    const before = { own: fds('self'), worker: fds(worker!) }
    for (let number = 0; number < CYCLES; number += 1) await cycle()
    await eventually(() => fds('self') <= before.own + 4 && fds(worker!) <= before.worker + 2)
    sender.close()
  }, 60_000)
})

/** The sum of a gauge over all its labels. */
const count = (text: string, name: string): number =>
  text
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`))
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)

async function cpuSeconds(registry: Registry): Promise<number[]> {
  const lines = (await registry.metrics()).split('\n')
  const found = lines.filter((line) => line.startsWith('conntext_voice_worker_cpu_seconds_total{'))
  return found.map((line) => Number(line.split(' ').at(-1)))
}

function workers(): number[] {
  const { stdout } = Bun.spawnSync(['ps', '-o', 'pid=,args=', '--ppid', String(process.pid)])
  const lines = stdout.toString().split('\n')
  return lines.filter((line) => line.includes('mediasoup-worker')).map((line) => Number.parseInt(line, 10))
}

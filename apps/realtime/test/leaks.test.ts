import { describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync } from 'node:fs'
import { eventually, grownBy, living } from '@conntext/testing'
import { observer } from 'mediasoup'
import type { WebRtcServer, Worker } from 'mediasoup/types'
import { hasWorker, skipped, startNodes } from './support/stack.ts'

const withWorker = hasWorker ? describe : describe.skip
const ROUNDS = 1_000
const WARM = 300
/**
 * A transport with its DTLS and buffers takes hundreds in the worker. Of this process allocators keep what a round has
 * used for a while, which is no leak, so that its objects are counted as well.
 */
const KEPT_KB = { own: 100, worker: 10 }

withWorker(`what is left behind${skipped}`, () => {
  test(`${ROUNDS} joins and leaves leave nothing: no object, no descriptor, on either side of the pipe`, async () => {
    const workers: Worker[] = []
    const servers: WebRtcServer[] = []
    const alive = new Map<string, number>()
    const count = (kind: string, thing: { observer: { once(event: 'close', listener: () => void): unknown } }) => {
      alive.set(kind, (alive.get(kind) ?? 0) + 1)
      thing.observer.once('close', () => alive.set(kind, alive.get(kind)! - 1))
    }
    const watch = (worker: Worker) => {
      workers.push(worker)
      worker.observer.on('newwebrtcserver', (server) => servers.push(server))
      worker.observer.on('newrouter', (router) => {
        count('routers', router)
        router.observer.on('newrtpobserver', (one) => count('observers', one))
        router.observer.on('newtransport', (transport) => {
          count('transports', transport)
          transport.observer.on('newproducer', (producer) => count('producers', producer))
          transport.observer.on('newconsumer', (consumer) => count('consumers', consumer))
        })
      })
    }
    observer.on('newworker', watch)
    // It keeps nothing of what it is told, which would count as kept here.
    const messaging = {
      conversation: async () => null,
      assertAccepted: async () => ({}),
      recordCalls: async () => ({}),
    }
    await using stack = await startNodes(1, { messaging })
    observer.off('newworker', watch)
    const channel = await stack.voiceChannel()
    const [anna, bert, carla] = [await stack.person(), await stack.person(), await stack.person()]
    const descriptors = () => ({ own: fds('self'), worker: fds(String(workers[0]!.pid)) })
    const memory = () => {
      Bun.gc(true)
      return { own: residentKb('self'), worker: residentKb(String(workers[0]!.pid)) }
    }

    const round = async (number: number) => {
      await Promise.all([anna.join(channel.id), bert.join(channel.id)])
      const producerId = await anna.produce(number % 2 === 0 ? 'microphone' : 'camera')
      const { id: transportId } = await bert.transport('recv')
      await bert.port.voiceConsume({ participant: bert.participant, transportId, producerId })
      // In each of the ways in which people go, and once without waiting for what is under way.
      if (number % 3 === 0) {
        const making = anna.transport('send').catch(() => {})
        // The worker has been asked by then, and hasn't answered.
        await new Promise((resolve) => setImmediate(resolve))
        await anna.leave()
        await making
      } else await anna.leave()
      await bert.leave()
      // What they were told is the test's.
      for (const { told } of [anna, bert, carla]) told.length = 0
    }
    for (let number = 0; number < WARM; number += 1) await round(number)
    const before = descriptors()
    const livingBefore = await living()
    const memoryBefore = memory()
    // Half of them in calls that end each time, half in one that goes on.
    for (let number = 0; number < ROUNDS / 2; number += 1) await round(number)
    await carla.join(channel.id)
    for (let number = 0; number < ROUNDS / 2; number += 1) await round(number)
    await eventually(() => alive.get('transports') === 0)
    expect(Object.fromEntries(alive)).toEqual({ routers: 1, observers: 2, transports: 0, producers: 0, consumers: 0 })
    expect(await servers[0]!.dump()).toMatchObject({ webRtcTransportIds: [], localIceUsernameFragments: [] })
    await carla.leave()

    await eventually(() => [...alive.values()].every((left) => left === 0))
    expect(Object.fromEntries(alive)).toEqual({ routers: 0, observers: 0, transports: 0, producers: 0, consumers: 0 })
    expect((await workers[0]!.dump()).routerIds).toEqual([])
    expect(await servers[0]!.dump()).toMatchObject({ webRtcTransportIds: [], localIceUsernameFragments: [] })
    // One of anything for every second round would be more; what is on its way may take a moment.
    const kept = async () => grownBy(ROUNDS / 2, livingBefore, await living())
    await eventually(async () => Object.keys(await kept()).length === 0).catch(() => {})
    expect(await kept()).toEqual({})
    const after = descriptors()
    const memoryAfter = memory()
    const grown = {
      own: memoryAfter.own - memoryBefore.own,
      worker: memoryAfter.worker - memoryBefore.worker,
    }
    console.log(`  memory after ${ROUNDS} more: ${grown.own} kB here, ${grown.worker} kB in the worker`)
    // What allocators keep comes and goes; what is kept of each round would be more than this.
    expect(grown.own).toBeLessThan(ROUNDS * KEPT_KB.own)
    expect(grown.worker).toBeLessThan(ROUNDS * KEPT_KB.worker)
    expect(after.worker - before.worker).toBeLessThanOrEqual(2)
    expect(after.own - before.own).toBeLessThanOrEqual(4)
    await eventually(async () => (await stack.port.voiceStates({})).states.length === 0)
  }, 120_000)
})

/** What of a process is in memory, in kB. */
const residentKb = (pid: string): number =>
  Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1])

const fds = (pid: string): number => readdirSync(`/proc/${pid}/fd`).length

import { heapStats } from 'bun:jsc'
import { describe, expect, test } from 'bun:test'
import type { Bus } from '@conntext/bus'
import { type RealtimePort, VOICE_LEASE_MS, voiceSubjects } from '@conntext/contracts'
import { eventually } from '@conntext/testing'
import { capabilities } from '@conntext/testing/media'
import { hasWorker, skipped, startCalls } from './stack.ts'

const withWorker = hasWorker ? describe : describe.skip

/** Each connection holds its socket. */
const sockets = () => {
  Bun.gc(true)
  return (heapStats().objectTypeCounts as Record<string, number>).ServerWebSocket ?? 0
}

withWorker(`what is left behind at a gateway${skipped}`, () => {
  test('500 joins and leaves, in every way in which people go, leave nothing', async () => {
    // Of what this process has done before.
    const before = sockets()
    // What a lease would put right in the end is to be right by itself.
    await using stack = await startCalls({ gateways: [{ config: { voice: { leaseMs: 60_000 } } }] })
    const channel = await stack.voiceChannel()
    const anna = await stack.person()
    const { token } = await stack.authority.member({ permissions: ['system.view'] })
    const counted = async () => {
      const { address } = stack.gateways[0]!
      const text = await fetch(`http://${address}/metrics`, { headers: { authorization: `Bearer ${token}` } })
      return Number(/^conntext_gateway_call_participants (\d+)$/m.exec(await text.text())![1])
    }
    const round = async (number: number) => {
      if (number % 5 === 0) {
        // Without waiting for what is under way.
        const guest = await stack.person({ member: anna.member })
        guest.send({ op: 'voice.join', id: 1, channelId: channel.id, rtpCapabilities: capabilities })
        if (number % 2 === 0) await guest.frame(({ op }) => op === 'reply')
        guest.close()
        await eventually(() => guest.closed)
      } else {
        await anna.join(channel.id)
        if (number % 3 === 0) await anna.transport('send')
        if (number % 2 === 0) await anna.leave()
      }
      anna.frames.length = 2
    }
    for (let number = 0; number < 20; number += 1) await round(number)
    for (let number = 0; number < 500; number += 1) await round(number)
    await anna.join(channel.id)
    expect(await counted()).toBe(1)
    await anna.leave()
    // Of this one no node says anything, for it is waited for.
    const last = await stack.person()
    await last.join(channel.id)
    last.close()
    await eventually(async () => (await counted()) === 0, 20_000)
    await eventually(async () => {
      stack.clock.advance(1_000)
      return (await stack.asked.voiceStates({})).states.length === 0
    })
    expect(sockets()).toBeGreaterThan(0)
    await eventually(() => sockets() <= before + 3)
  }, 120_000)

  test('who is gone before the answer has never been there', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    let asked = false
    const slow = (port: RealtimePort) =>
      new Proxy(port, {
        get: (ports, name: keyof RealtimePort) =>
          name !== 'voiceJoin'
            ? ports[name]
            : async (request: Parameters<RealtimePort['voiceJoin']>[0]) => {
                const answer = await ports.voiceJoin(request)
                asked = true
                await promise
                return answer
              },
      })
    await using stack = await startCalls({ gateways: [{ port: slow }] })
    const channel = await stack.voiceChannel()
    const anna = await stack.person()
    anna.send({ op: 'voice.join', channelId: channel.id, rtpCapabilities: capabilities })
    await eventually(() => asked)
    const present = async () => (await stack.asked.voiceStates({})).states.length
    await eventually(async () => (await present()) === 1)
    anna.close()
    await eventually(() => anna.closed)
    resolve()
    // Nobody waits for them, for the clock stands where it is.
    await eventually(async () => (await present()) === 0, 20_000)
  })

  test('a gateway that was silent for long, and is heard again, keeps its people', async () => {
    let silent = false
    const quiet = (bus: Bus): Bus => ({
      ...bus,
      publish: async (subject, payload) => (silent ? undefined : bus.publish(subject, payload)),
    })
    await using stack = await startCalls({ gateways: [{ bus: quiet }] })
    const channel = await stack.voiceChannel()
    const anna = await stack.person()
    await anna.join(channel.id)
    silent = true
    stack.clock.advance(VOICE_LEASE_MS + 1)
    // Who is silent is looked at when the bus has been found to be there.
    const { checks } = stack.nodes[0]!
    await eventually(() => stack.nodes[0]!.checks >= checks + 1)
    silent = false
    let renewed = false
    await stack.bus.subscribe(voiceSubjects.gateways, () => {
      renewed = true
    })
    await eventually(() => renewed)
    const bert = await stack.person()
    await bert.join(channel.id)
    bert.close()
    await anna.hears('voice.joined', ({ userId }) => userId === bert.userId)
    stack.clock.advance(11_000)
    // With bert, all have been looked at.
    await anna.hears('voice.left', ({ userId }) => userId === bert.userId)
    expect(anna.heard('voice.ended')).toEqual([])
    expect(await anna.outcome({ op: 'voice.stats' })).toBe('ok')
  })
})

import { heapStats } from 'bun:jsc'
import { describe, expect, test } from 'bun:test'
import { eventually } from '@conntext/testing'
import { capabilities } from './caller.ts'
import { hasWorker, skipped, startCalls } from './stack.ts'

const withWorker = hasWorker ? describe : describe.skip

withWorker(`what is left behind at a gateway${skipped}`, () => {
  test('500 joins and leaves, in every way in which people go, leave nothing', async () => {
    const leases: unknown[] = []
    await using stack = await startCalls()
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
    await eventually(async () => (await counted()) === 0)
    await stack.bus.subscribe('voice.gateways', (text) => void leases.push(JSON.parse(text)))
    await eventually(async () => {
      stack.clock.advance(1_000)
      return (await stack.asked.voiceStates({})).states.length === 0
    })
    expect(leases).toEqual([])
    // Each connection holds its socket.
    const alive = () => {
      Bun.gc(true)
      return (heapStats().objectTypeCounts as Record<string, number>).ServerWebSocket ?? 0
    }
    expect(alive()).toBeGreaterThan(0)
    await eventually(() => alive() <= 3)
  }, 120_000)
})

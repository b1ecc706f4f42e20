import { describe, expect, test } from 'bun:test'
import { eventually } from '@conntext/testing'
import type { Caller } from './caller.ts'
import { hasWorker, skipped, startCalls } from './stack.ts'

const withWorker = hasWorker ? describe : describe.skip

withWorker(`who is in which call${skipped}`, () => {
  test('is in ready, at every gateway, and told to whoever sees the channel alone', async () => {
    await using stack = await startCalls({ gateways: [{}, {}] })
    const [open, hidden] = [await stack.voiceChannel(), await stack.voiceChannel()]
    const [anna, bert] = [await stack.person(), await stack.person({ gateway: 1 })]
    const outsider = await stack.person({ gateway: 1 })
    await stack.hide(hidden.id, outsider.userId, true)
    await anna.join(open.id, { selfDeafened: true })
    await bert.join(hidden.id)
    await eventually(() => anna.states.size === 2 && outsider.states.size === 1)
    for (const gateway of [0, 1]) {
      const { ready } = await stack.person({ gateway })
      expect(ready.voiceStates.map(({ userId }) => userId).toSorted()).toEqual([anna.userId, bert.userId].toSorted())
      expect(ready.voiceStates.find(({ userId }) => userId === anna.userId)).toMatchObject({ selfDeafened: true })
      const again = await stack.person({ gateway, member: outsider.member })
      expect(again.ready.voiceStates.map(({ userId }) => userId)).toEqual([anna.userId])
    }
    await bert.join(open.id)
    await eventually(() => outsider.states.size === 2)
    expect(outsider.heard('voice.left')).toEqual([])
    await bert.join(hidden.id)
    await eventually(() => outsider.states.size === 1)
    expect(outsider.heard('voice.joined').filter(({ channelId }) => channelId === hidden.id)).toEqual([])
  })

  test('is told when one gains the channel, and no more once one has lost it', async () => {
    await using stack = await startCalls({ gateways: [{}, {}] })
    const channel = await stack.voiceChannel()
    const [anna, bert, watcher] = [await stack.person(), await stack.person(), await stack.person({ gateway: 1 })]
    await stack.hide(channel.id, watcher.userId, true)
    await anna.join(channel.id)
    await eventually(() => bert.states.size === 1)
    expect(watcher.frames.filter(({ t }) => String(t).startsWith('voice.'))).toEqual([])
    await stack.hide(channel.id, watcher.userId, false)
    expect(await watcher.hears('voice.joined')).toMatchObject({ userId: anna.userId })
    const order = watcher.frames.map(({ t }) => t)
    expect(order.indexOf('voice.joined')).toBeGreaterThan(order.indexOf('access.changed'))
    await stack.hide(channel.id, watcher.userId, true)
    await eventually(() => watcher.heard('access.changed').length === 3)
    await bert.join(channel.id)
    await eventually(() => anna.states.size === 2)
    expect(watcher.heard('voice.joined')).toHaveLength(1)
    await stack.hide(channel.id, watcher.userId, false)
    await eventually(() => watcher.states.size === 2)
    expect(watcher.heard('voice.joined')).toHaveLength(3)
  })

  test('waits while it is not known who sees what, and comes out as it is by then', async () => {
    await using stack = await startCalls()
    const channel = await stack.voiceChannel()
    const [anna, bert, watcher] = [await stack.person(), await stack.person(), await stack.person()]
    await bert.join(channel.id)
    await eventually(() => watcher.states.size === 1)
    const { promise, resolve } = Promise.withResolvers<void>()
    const { authority } = stack.authority.port
    let asked = false
    const slow: typeof authority = async (request) => {
      const snapshot = await authority(request)
      asked = true
      await promise
      return snapshot
    }
    Object.assign(stack.authority.port, { authority: slow })
    const changing = stack.hide(channel.id, watcher.userId, true)
    await eventually(() => asked)
    const before = watcher.frames.length
    await bert.leave()
    await eventually(async () => (await stack.asked.voiceStates({})).states.length === 0)
    expect(watcher.frames.slice(before)).toEqual([])
    Object.assign(stack.authority.port, { authority })
    resolve()
    await changing
    await watcher.hears('access.changed')
    expect(await anna.hears('voice.left')).toMatchObject({ userId: bert.userId })
    expect(watcher.heard('voice.left')).toEqual([])
    expect(watcher.states.size).toBe(0)
  })

  test('is missed by nobody who is still catching up with what else they have missed', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    let fetched = false
    await using stack = await startCalls({
      gateways: [
        {
          system: {
            streamHeads: async ({ streams }) => ({
              heads: Object.fromEntries(streams.map((stream) => [stream, stream === 'server' ? 5 : 0])),
            }),
            streamEvents: async () => {
              fetched = true
              await promise
              return { events: [], truncated: true }
            },
          },
        },
      ],
    })
    const channel = await stack.voiceChannel()
    const anna = await stack.person()
    const late = await stack.person({ cursors: { server: 3 } })
    await eventually(() => fetched)
    await anna.join(channel.id)
    expect(await late.hears('voice.joined')).toMatchObject({ userId: anna.userId })
    resolve()
    await late.frame(({ op }) => op === 'reset')
    await anna.leave()
    await late.hears('voice.left')
    expect(late.heard('voice.joined')).toHaveLength(1)
    expect(late.heard('voice.left')).toHaveLength(1)
  })

  test('is the same for all, whoever comes when, while people come and go', async () => {
    await using stack = await startCalls({ gateways: [{}, {}], nodes: 2 })
    const channels = [await stack.voiceChannel(), await stack.voiceChannel()]
    const people = await Promise.all([0, 1, 0, 1].map((gateway) => stack.person({ gateway })))
    const watchers: Caller[] = []
    const moving = people.map(async (person, index) => {
      for (let turn = 0; turn < 12; turn += 1) {
        await person.join(channels[(turn + index) % 2]!.id)
        if (turn % 3 === 2) await person.leave()
      }
      if (index !== 3) await person.join(channels[index % 2]!.id)
    })
    const coming = (async () => {
      for (let turn = 0; turn < 10; turn += 1) watchers.push(await stack.person({ gateway: turn % 2 }))
    })()
    await Promise.all([...moving, coming])
    const wanted = new Map(people.slice(0, 3).map((one, index) => [one.userId, channels[index % 2]!.id]))
    for (const watcher of [...watchers, ...people]) {
      await eventually(() => {
        const seen = [...watcher.states].map(([userId, { channelId }]) => [userId, channelId])
        return JSON.stringify(seen.toSorted()) === JSON.stringify([...wanted].toSorted())
      })
    }
  }, 30_000)
})

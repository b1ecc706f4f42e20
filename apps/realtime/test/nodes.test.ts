import { describe, expect, test } from 'bun:test'
import { VOICE_LEASE_MS, voiceSubjects } from '@conntext/contracts'
import { newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { receive, send } from './support/media.ts'
import { hasWorker, skipped, startNodes } from './support/stack.ts'

const withWorker = hasWorker ? describe : describe.skip

withWorker(`several nodes${skipped}`, () => {
  test('a call is in one place, whichever node is asked', async () => {
    await using stack = await startNodes(2)
    const channel = await stack.voiceChannel()
    const [anna, bert] = [await stack.person({ node: 0 }), await stack.person({ node: 1 })]
    const { nodeId } = await anna.join(channel.id)
    await eventually(() => anna.state())
    expect((await bert.join(channel.id)).nodeId).toBe(nodeId)
    expect(bert.joined!.states).toHaveLength(2)
    const sender = await send(anna)
    const receiver = await receive(bert, sender.producerIds)
    await receiver.gets(sender.producerIds[0]!)
    const maria = await stack.person({ node: 1, permissions: ['voice.move'] })
    await maria.moderate(bert, 'disconnect')
    await bert.hears('voice.ended')
    sender.close()
    receiver.close()
  })

  test('new calls go to the node with less to do', async () => {
    await using stack = await startNodes(2, { consumersPerWorker: 1 })
    const [one, other] = [await stack.voiceChannel(), await stack.voiceChannel()]
    const [anna, bert] = [await stack.person(), await stack.person()]
    const first = await anna.join(one.id)
    await eventually(() => anna.state())
    await bert.join(one.id)
    const producerId = await anna.produce()
    const { id } = await bert.transport('recv')
    await bert.port.voiceConsume({ participant: bert.participant, transportId: id, producerId })
    const carla = await stack.person()
    await eventually(async () => {
      const { nodeId } = await carla.join(other.id)
      if (nodeId !== first.nodeId) return true
      await carla.leave()
      return false
    })
  })

  test('of two calls of one channel that begin at once, one stays, and all come to it', async () => {
    await using stack = await startNodes(2)
    const channel = await stack.voiceChannel()
    const [anna, bert] = [await stack.person({ node: 0 }), await stack.person({ node: 1 })]
    // As if neither node had heard of the other yet.
    const alone = (person: typeof anna) => ({
      ...{ at: person.userId, caller: person.caller, channelId: channel.id },
      place: { gatewayId: person.gatewayId, connectionId: person.connectionId },
      rtpCapabilities: { codecs: [] },
    })
    const refusals = await Promise.all(
      [anna, bert].map((one) =>
        one.port.voiceJoin(alone(one)).then(
          () => undefined,
          ({ code }) => code,
        ),
      ),
    )
    // Whoever is in already is told to come again; whoever is not yet, to try again.
    const loser = await eventually(() =>
      [anna, bert].find((one, index) => refusals[index] !== undefined || one.heard('voice.interrupted').length > 0),
    )
    if (refusals.some((code) => code !== undefined)) expect(refusals.toSorted()).toEqual(['voice.away', undefined])
    else expect(loser.heard('voice.interrupted')).toEqual([{ channelId: channel.id, media: false }])
    await eventually(async () => (await stack.port.voiceStates({})).states.length === 1)
    await loser.join(channel.id)
    await eventually(async () => (await stack.port.voiceStates({})).states.length === 2)
    expect(loser.joined!.states).toHaveLength(2)
  })

  test('whoever joins after somebody comes into their call, wherever it was begun', async () => {
    await using stack = await startNodes(2)
    const [elsewhere, channel] = [await stack.voiceChannel(), await stack.voiceChannel()]
    const [anna, bert, carl] = [await stack.person(), await stack.person(), await stack.person()]
    const own = {
      place: { gatewayId: anna.gatewayId, connectionId: anna.connectionId },
      rtpCapabilities: { codecs: [] },
    }
    // At the node that is asked, as if it had been the best place until now.
    const beginAt = (node: number, channelId: string) =>
      stack.nodes[node]!.port.voiceJoin({ ...own, at: anna.userId, caller: anna.caller, channelId })
    const [first, best] = [await beginAt(0, elsewhere.id), await carl.join((await stack.voiceChannel()).id)]
    const worse = first.nodeId === best.nodeId ? 1 : 0
    const begun = await beginAt(worse, channel.id)
    expect(begun.nodeId).not.toBe(best.nodeId)
    bert.turnTo(stack.nodes[1 - worse]!.port)
    expect((await bert.join(channel.id)).nodeId).toBe(begun.nodeId)
    expect(bert.joined!.states).toHaveLength(2)
  })

  test('what somebody asks for is done by whichever node is asked, also by one that has not heard of them yet', async () => {
    await using stack = await startNodes(2)
    const channel = await stack.voiceChannel()
    const anna = await stack.person()
    const { bus } = stack
    const { publish, announce } = bus
    // What is said of it is on its way still.
    Object.assign(bus, { publish: async () => {}, announce: async () => {} })
    try {
      await anna.join(channel.id)
      for (const { port } of stack.nodes) {
        anna.turnTo(port)
        await anna.transport('send')
      }
    } finally {
      Object.assign(bus, { publish, announce })
    }
  })

  test('joining elsewhere ends what was before, also on another node', async () => {
    await using stack = await startNodes(2)
    const [here, there] = [await stack.voiceChannel(), await stack.voiceChannel()]
    const member = await stack.person({ node: 0 })
    const place = { gatewayId: member.gatewayId, connectionId: member.connectionId }
    const at = member.userId
    const common = { at, caller: member.caller, rtpCapabilities: { codecs: [] } }
    await stack.nodes[0]!.port.voiceJoin({ ...common, place, channelId: here.id })
    const other = { ...place, connectionId: crypto.randomUUID() }
    await stack.nodes[1]!.port.voiceJoin({ ...common, place: other, channelId: there.id })
    expect(await member.hears('voice.ended')).toMatchObject({ channelId: here.id, reason: 'elsewhere' })
    await eventually(async () => (await stack.port.voiceStates({})).states.length === 1)
  })

  test('a node that stops sends its people to another one', async () => {
    await using stack = await startNodes(2)
    const channel = await stack.voiceChannel()
    const anna = await stack.person({ node: 0 })
    await eventually(async () => {
      const { nodeId } = await anna.join(channel.id)
      await eventually(() => anna.state())
      return nodeId
    })
    const before = (await anna.join(channel.id)).nodeId
    for (const [index, { service }] of stack.nodes.entries()) {
      const own = await anna.port.voiceStates({ channelId: channel.id })
      expect(own.states).toHaveLength(1)
      await service.stop()
      if (anna.heard('voice.interrupted').length === 0) {
        await stack.start(index)
        continue
      }
      // The other one is asked from now on.
      const { nodeId } = await stack.nodes[1 - index]!.port.voiceJoin({
        ...{ caller: anna.caller, channelId: channel.id, rtpCapabilities: { codecs: [] } },
        place: { gatewayId: anna.gatewayId, connectionId: anna.connectionId },
      })
      expect(nodeId).not.toBe(before)
      return
    }
    throw new Error('nobody was told')
  })
})

withWorker(`a bus that is away${skipped}`, () => {
  test('takes nobody for dead: calls stay where they are', async () => {
    await using stack = await startNodes(2)
    const channel = await stack.voiceChannel()
    const [anna, bert] = [await stack.person({ node: 0 }), await stack.person({ node: 1 })]
    const { nodeId } = await anna.join(channel.id)
    await eventually(() => anna.state())
    const { bus } = stack
    const { publish, check } = bus
    let asked = 0
    bus.publish = async () => {}
    bus.check = async () => {
      asked += 1
      throw new Error('the bus is away')
    }
    try {
      // Both nodes have missed one another, and have looked whether that says anything.
      await eventually(() => asked >= 4, 15_000)
      expect((await bert.join(channel.id)).nodeId).toBe(nodeId)
      expect((await anna.join(channel.id)).nodeId).toBe(nodeId)
    } finally {
      Object.assign(bus, { publish, check })
    }
    await eventually(async () => (await stack.port.voiceStates({})).states.length === 2)
  }, 30_000)
})

withWorker(`whom moderators have silenced${skipped}`, () => {
  test('a call that a node lets go of comes back with them as they were', async () => {
    await using stack = await startNodes(2)
    const channel = await stack.voiceChannel()
    const [anna, bert] = [await stack.person(), await stack.person()]
    const moderator = await stack.person({ permissions: ['voice.moderate'] })
    await anna.join(channel.id)
    await eventually(() => anna.state())
    await bert.join(channel.id)
    await moderator.moderate(anna, 'mute')
    await moderator.moderate(bert, 'deafen')
    await eventually(async () => (await anna.state())?.muted && (await bert.state())?.deafened)
    // Only one of them has it.
    const [first, second] = stack.nodes
    first!.service.drain?.()
    if (anna.heard('voice.interrupted').length === 0) {
      await first!.service.stop()
      await stack.start(0)
      second!.service.drain?.()
    }
    for (const one of [bert, anna]) {
      await one.hears('voice.interrupted')
      const { participantId } = one.joined!
      await eventually(() => one.join(channel.id, { resume: participantId }).catch(() => undefined))
    }
    await eventually(async () => (await anna.state())?.muted && (await bert.state())?.deafened)
  })

  test('so does one whose node has died, but none that was over', async () => {
    await using stack = await startNodes(1)
    const [lost, over] = [await stack.voiceChannel(), await stack.voiceChannel()]
    const [anna, bert] = [await stack.person(), await stack.person()]
    const moderator = await stack.person({ permissions: ['voice.moderate'] })
    await anna.join(lost.id)
    await bert.join(over.id)
    for (const one of [anna, bert]) await moderator.moderate(one, 'mute')
    const [ofAnna, ofBert] = [(await eventually(() => anna.state()))!, (await eventually(() => bert.state()))!]
    for (const one of [anna, bert]) await one.leave()
    await eventually(async () => (await stack.port.voiceStates({})).states.length === 0)
    // A node that nobody reaches.
    const n = newId()
    const said = [ofAnna, ofBert].map((state) => ({ p: newId(), state: { ...state, muted: true } }))
    const say = (words: object) => stack.bus.publish(voiceSubjects.nodes, JSON.stringify({ n, ...words }))
    await say({ i: 0, k: 'all', part: 0, parts: 1, said })
    await say({ i: 1, k: 'changed', said: [{ p: said[1]!.p }] })
    await say({ i: 1, k: 'gone' })
    for (const one of [anna, bert]) expect(await one.join(one === anna ? lost.id : over.id)).toBeTruthy()
    await eventually(async () => (await stack.port.voiceStates({})).states.length === 2)
    expect((await anna.state())!.muted).toBe(true)
    expect((await bert.state())!.muted).toBe(false)
    // What is taken back stays so.
    await moderator.moderate(anna, 'unmute')
    await anna.leave()
    await anna.join(lost.id)
    await eventually(async () => (await anna.state())?.muted === false)
  })
})

withWorker(`what dies${skipped}`, () => {
  test('a killed worker ends nobody: within two seconds all have media again', async () => {
    await using stack = await startNodes(1)
    const channel = await stack.voiceChannel()
    const [anna, bert] = [await stack.person(), await stack.person()]
    await anna.join(channel.id)
    await bert.join(channel.id)
    const before = await send(anna)
    await eventually(() => bert.heard('voice.producerAdded').length === 2)
    const [pid] = workers()
    const killedAt = performance.now()
    process.kill(pid!, 'SIGKILL')
    for (const one of [anna, bert]) {
      expect(await one.hears('voice.interrupted')).toEqual({ channelId: channel.id, media: false })
      await expect(one.transport('send')).rejects.toMatchObject({ code: 'voice.noMedia' })
      const { participantId } = one.joined!
      const { joined } = await eventually(() => one.join(channel.id, { resume: participantId }).catch(() => undefined))
      expect(joined).toMatchObject({ participantId, resumed: true, producers: [], kept: { transports: [] } })
    }
    const sender = await send(anna)
    const receiver = await receive(bert, sender.producerIds)
    await receiver.gets(sender.producerIds[0]!)
    expect(performance.now() - killedAt).toBeLessThan(process.env.CI ? 20_000 : 4_000)
    expect((await stack.port.voiceStates({})).states).toHaveLength(2)
    expect(bert.heard('voice.producerRemoved')).toHaveLength(2)
    for (const one of [before, sender, receiver]) one.close()
  })

  test('who comes not again after their worker died is out in the end', async () => {
    await using stack = await startNodes(1)
    const channel = await stack.voiceChannel()
    const anna = await stack.person()
    await anna.join(channel.id)
    process.kill(workers()[0]!, 'SIGKILL')
    await anna.hears('voice.interrupted')
    stack.clock.advance(11_000)
    expect(await anna.hears('voice.ended')).toMatchObject({ reason: 'lost', rejoin: true })
  })

  test('a clock that is set back a year keeps nobody in a call whose gateway is gone, and one set ahead ends none', async () => {
    await using stack = await startNodes(1)
    const channel = await stack.voiceChannel()
    const [anna, bert] = [await stack.person(), await stack.person()]
    const { nodeId } = await anna.join(channel.id)
    const YEAR_MS = 365 * 86_400_000
    stack.clock.set(YEAR_MS)
    await bert.join(channel.id)
    stack.clock.set(0)
    stack.clock.advance(VOICE_LEASE_MS + 1)
    const held = [{ p: anna.joined!.participantId, c: anna.connectionId, ch: channel.id, i: 9 }]
    await stack.bus.publish(voiceSubjects.gateways, JSON.stringify({ g: anna.gatewayId, n: nodeId, held }))
    await Bun.sleep(1_100)
    stack.clock.set(YEAR_MS)
    stack.clock.advance(11_000)
    expect(await bert.hears('voice.ended')).toMatchObject({ reason: 'lost' })
    expect(anna.heard('voice.ended')).toEqual([])
  })

  test('a gateway that falls silent is waited for, then its people are out; one that renews keeps them', async () => {
    await using stack = await startNodes(1)
    const channel = await stack.voiceChannel()
    const [anna, bert] = [await stack.person(), await stack.person()]
    const { nodeId } = await anna.join(channel.id)
    await bert.join(channel.id)
    const renew = (last: number, p = bert.joined!.participantId) => {
      const held = [{ p, c: bert.connectionId, ch: channel.id, i: last }]
      return stack.bus.publish(voiceSubjects.gateways, JSON.stringify({ g: bert.gatewayId, n: nodeId, held }))
    }
    stack.clock.advance(VOICE_LEASE_MS + 1)
    await renew(0)
    // The node looks every second.
    await Bun.sleep(3_000)
    stack.clock.advance(11_000)
    expect(await anna.hears('voice.ended')).toMatchObject({ reason: 'lost' })
    expect(bert.heard('voice.ended')).toEqual([])
    // What it has missed shows by its number; what is over, by its name.
    await anna.join(channel.id)
    await anna.produce()
    await eventually(() => bert.heard('voice.producerAdded').length === 1)
    await renew(1)
    expect(bert.heard('voice.interrupted')).toEqual([])
    await renew(0)
    expect(bert.heard('voice.interrupted')).toHaveLength(1)
    await renew(0, anna.userId)
    expect(bert.heard('voice.ended')).toEqual([{ channelId: channel.id, reason: 'ended', rejoin: true }])
  })

  test('what a gateway said before somebody came in again is not held against them', async () => {
    await using stack = await startNodes(1)
    const channel = await stack.voiceChannel()
    const [anna, bert] = [await stack.person(), await stack.person()]
    await anna.join(channel.id)
    const { nodeId } = await bert.join(channel.id)
    await anna.produce()
    await bert.hears('voice.producerAdded')
    const { participantId } = bert.joined!
    const { notice } = await bert.join(channel.id, { resume: participantId })
    expect(notice).toBeGreaterThan(0)
    const renew = () => {
      const held = [{ p: participantId, c: bert.connectionId, ch: channel.id, i: 0 }]
      return stack.bus.publish(voiceSubjects.gateways, JSON.stringify({ g: bert.gatewayId, n: nodeId, held }))
    }
    await renew()
    expect(bert.heard('voice.interrupted')).toEqual([])
    await renew()
    expect(bert.heard('voice.interrupted')).toHaveLength(1)
  })

  test('who came back twice, and whose first way back was done last, is told to come again by the one that is there', async () => {
    await using stack = await startNodes(1)
    const channel = await stack.voiceChannel()
    const anna = await stack.person()
    const { nodeId } = await anna.join(channel.id)
    const { participantId } = anna.joined!
    const [there, givenUp] = [newId(), newId()]
    for (const connectionId of [there, givenUp]) {
      anna.connectionId = connectionId
      await anna.join(channel.id, { resume: participantId })
    }
    const held = [{ p: participantId, c: there, ch: channel.id, i: 0 }]
    const renew = () =>
      stack.bus.publish(voiceSubjects.gateways, JSON.stringify({ g: anna.gatewayId, n: nodeId, held }))
    const gone = anna.participant
    anna.connectionId = there
    await renew()
    expect(anna.heard('voice.interrupted')).toEqual([])
    await anna.port.voiceDetach({ participant: gone })
    await renew()
    expect(await anna.hears('voice.interrupted')).toEqual({ channelId: channel.id, media: true })
    expect((await anna.join(channel.id, { resume: participantId })).joined.resumed).toBe(true)
    await anna.transport('send')
    // So are they where the gateway of the first way back is gone, and nobody says that that was given up.
    anna.connectionId = givenUp
    await anna.join(channel.id, { resume: participantId })
    anna.connectionId = there
    held[0]!.i = 9
    stack.clock.advance(VOICE_LEASE_MS + 1)
    await eventually(async () => {
      await renew()
      return anna.heard('voice.interrupted').length > 1
    })
  })
})

function workers(): number[] {
  const { stdout } = Bun.spawnSync(['ps', '-o', 'pid=,args=', '--ppid', String(process.pid)])
  return stdout
    .toString()
    .split('\n')
    .filter((line) => line.includes('mediasoup-worker'))
    .map((line) => Number.parseInt(line, 10))
}

import { describe, expect, test } from 'bun:test'
import { eventually } from '@conntext/testing'
import { hasRedis } from '@conntext/testing/redis'
import { receive, send } from './support/media.ts'
import type { Person } from './support/person.ts'
import { type NodeProcess, startNodeProcesses } from './support/processes.ts'
import { hasWorker, skipped } from './support/stack.ts'

const apart = hasWorker && hasRedis() ? describe : describe.skip
const why = hasRedis() ? skipped : ' (skipped: there is no Redis)'
// A machine that tests everything at once takes its time.
const BUSY = process.env.CI ? 5 : 1

/** Joins as a gateway does for a client that tries until it is let in; answers the node and how long it took. */
async function rejoin(person: Person, channelId: string, resume?: string) {
  const began = performance.now()
  const { nodeId, joined } = await eventually(
    () => person.join(channelId, resume === undefined ? {} : { resume }).catch(() => undefined),
    20_000,
  )
  return { nodeId, joined, ms: performance.now() - began }
}

/** Which of two processes a call is at: the one with a worker that somebody in the call sends to. */
async function homeOf(nodes: NodeProcess[], { channelId }: { channelId: string }): Promise<NodeProcess> {
  return eventually(async () => {
    for (const node of nodes) {
      const text = await figures(node)
      if (text.includes('conntext_voice_calls 1')) return node
    }
    return undefined
  }).catch(() => {
    throw new Error(`no node has the call of ${channelId}`)
  })
}

const figures = async ({ url }: NodeProcess) =>
  (await fetch(`${url}/metrics`, { headers: { authorization: 'Bearer a-credential-of-the-services' } })).text()

const report = (what: string, ms: number) => console.log(`  ${what}: ${Math.round(ms)} ms`)

apart(`nodes as processes over Redis${why}`, () => {
  test('calls go to the node with less to do and stay there, whoever is asked', async () => {
    await using stack = await startNodeProcesses(2)
    const [one, other] = [await stack.voiceChannel(), await stack.voiceChannel()]
    const [anna, bert, carla] = [
      await stack.person({ node: 0 }),
      await stack.person({ node: 1 }),
      await stack.person({ node: 0 }),
    ]
    const first = await anna.join(one.id)
    await eventually(() => anna.state())
    // Asked at the other node, which brings it to where the call is.
    const second = await rejoin(bert, one.id)
    expect(second.nodeId).toBe(first.nodeId)
    const sender = await send(anna)
    const receiver = await receive(bert, sender.producerIds)
    await receiver.gets(sender.producerIds[0]!)
    await eventually(() => (stack.board.board.nodes().find(({ id }) => id === first.nodeId)?.load.load ?? 0) > 0)
    // The node that is asked may hear of that a moment later.
    await eventually(async () => {
      const { nodeId } = await carla.join(other.id)
      if (nodeId !== first.nodeId) return true
      await carla.leave()
      return false
    })
    const texts = await Promise.all(stack.nodes.map(figures))
    for (const text of texts) expect(text).toContain('conntext_voice_calls 1')
    for (const each of [sender, receiver]) each.close()
  }, 60_000)

  test('a node that drains sends its calls to another one at once, takes none, and ends in order', async () => {
    await using stack = await startNodeProcesses(2)
    const channel = await stack.voiceChannel()
    const [anna, bert] = [await stack.person({ node: 0 }), await stack.person({ node: 1 })]
    const before = await anna.join(channel.id)
    await eventually(() => anna.state())
    await bert.join(channel.id)
    const home = await homeOf(stack.nodes, { channelId: channel.id })
    const next = stack.nodes.find((node) => node !== home)!
    const began = performance.now()
    const ended = home.kill('SIGTERM')
    for (const one of [anna, bert]) {
      expect(await one.hears('voice.interrupted')).toEqual({ channelId: channel.id, media: false })
      // One of them still asks the node that drains, as a gateway may.
      one.turnTo(one === anna ? home.port : next.port)
      expect((await rejoin(one, channel.id)).nodeId).not.toBe(before.nodeId)
    }
    anna.turnTo(next.port)
    const sender = await send(anna)
    const receiver = await receive(bert, sender.producerIds)
    await receiver.gets(sender.producerIds[0]!, 1)
    const took = performance.now() - began
    report('from the signal until media flows on another node', took)
    expect(took).toBeLessThan(5_000 * BUSY)
    expect(await ended).toBe(0)
    expect(stack.board.gone).toEqual([])
    await receiver.gets(sender.producerIds[0]!)
    for (const each of [sender, receiver]) each.close()
  }, 60_000)

  test("a dead worker's calls go on at another worker of its node within two seconds", async () => {
    await using stack = await startNodeProcesses(1, { CONNTEXT_VOICE_WORKERS: '2' })
    const channel = await stack.voiceChannel()
    const [anna, bert] = [await stack.person(), await stack.person()]
    for (const one of [anna, bert]) await one.join(channel.id)
    const before = await send(anna)
    const heard = await receive(bert, before.producerIds)
    await heard.gets(before.producerIds[0]!)
    const [node] = stack.nodes
    const busy = await busiest(node!)
    const killedAt = performance.now()
    process.kill(busy, 'SIGKILL')
    for (const one of [anna, bert]) {
      expect(await one.hears('voice.interrupted')).toEqual({ channelId: channel.id, media: false })
      const { participantId } = one.joined!
      expect((await rejoin(one, channel.id, participantId)).joined).toMatchObject({ participantId, resumed: true })
    }
    const sender = await send(anna)
    const receiver = await receive(bert, sender.producerIds)
    await receiver.gets(sender.producerIds[0]!, 1)
    const took = performance.now() - killedAt
    report("from a worker's death until media flows on another", took)
    expect(took).toBeLessThan(2_000 * BUSY)
    expect(await figures(node!)).toContain('conntext_voice_worker_deaths_total 1')
    for (const each of [before, heard, sender, receiver]) each.close()
  }, 60_000)

  test('the calls of a node that is killed begin anew on another, as soon as it is missed', async () => {
    await using stack = await startNodeProcesses(2)
    const channel = await stack.voiceChannel()
    const [anna, bert] = [await stack.person(), await stack.person()]
    const before = await anna.join(channel.id)
    await eventually(() => anna.state())
    await bert.join(channel.id)
    const home = await homeOf(stack.nodes, { channelId: channel.id })
    const next = stack.nodes.find((node) => node !== home)!
    const killedAt = performance.now()
    await home.kill('SIGKILL')
    for (const one of [anna, bert]) one.turnTo(next.port)
    // Until it is missed nobody is let into a second call of the same channel.
    await expect(anna.join(channel.id)).rejects.toMatchObject({ status: 503 })
    await eventually(() => stack.board.gone.some(({ id }) => id === before.nodeId), 20_000)
    report("from a node's death until it is missed", performance.now() - killedAt)
    for (const one of [anna, bert]) expect((await rejoin(one, channel.id)).nodeId).not.toBe(before.nodeId)
    report("from a node's death until all are in the call again", performance.now() - killedAt)
    expect(performance.now() - killedAt).toBeLessThan(10_000 * BUSY)
    expect(bert.joined!.states).toHaveLength(2)
    const sender = await send(anna)
    const receiver = await receive(bert, sender.producerIds)
    await receiver.gets(sender.producerIds[0]!)
    for (const each of [sender, receiver]) each.close()
  }, 60_000)

  test('Redis restarts in the middle of a call: media goes on, nobody is out, and all know of one another again', async () => {
    await using stack = await startNodeProcesses(2)
    const channel = await stack.voiceChannel()
    const [anna, bert, carla] = [
      await stack.person({ node: 0 }),
      await stack.person({ node: 1 }),
      await stack.person({ node: 1 }),
    ]
    const { nodeId } = await anna.join(channel.id)
    await eventually(() => anna.state())
    await bert.join(channel.id)
    const sender = await send(anna)
    const receiver = await receive(bert, sender.producerIds)
    await receiver.gets(sender.producerIds[0]!)
    await stack.redis.kill()
    await receiver.gets(sender.producerIds[0]!, 50)
    await stack.redis.restart()
    await receiver.gets(sender.producerIds[0]!, 50)
    await stack.settled()
    expect((await rejoin(carla, channel.id)).nodeId).toBe(nodeId)
    expect(carla.joined!.states).toHaveLength(3)
    for (const one of [anna, bert]) expect(one.heard('voice.ended')).toEqual([])
    for (const each of [sender, receiver]) each.close()
  }, 60_000)
})

/** The worker of a node that works, which is the one that media goes through. */
async function busiest(node: NodeProcess): Promise<number> {
  const ticks = async (pid: number) => {
    const fields = (await Bun.file(`/proc/${pid}/stat`).text()).split(') ')[1]!.split(' ')
    return Number(fields[11]) + Number(fields[12])
  }
  const pids = node.workers()
  const before = await Promise.all(pids.map(ticks))
  return eventually(async () => {
    const now = await Promise.all(pids.map(ticks))
    const used = now.map((count, index) => count - before[index]!)
    const most = Math.max(...used)
    return most >= 3 && used.filter((count) => count === most).length === 1 ? pids[used.indexOf(most)] : undefined
  }, 20_000)
}

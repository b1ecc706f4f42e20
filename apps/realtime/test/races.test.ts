import { describe, expect, spyOn, test } from 'bun:test'
import { Guard } from '@conntext/http'
import { eventually } from '@conntext/testing'
import { hasWorker, skipped, startNodes } from './support/stack.ts'

const withWorker = hasWorker ? describe : describe.skip
const problem = (code: string) => expect.objectContaining({ code })

function workers(): number[] {
  const { stdout } = Bun.spawnSync(['ps', '-o', 'pid=,args=', '--ppid', String(process.pid)])
  const lines = stdout.toString().split('\n')
  return lines.filter((line) => line.includes('mediasoup-worker')).map((line) => Number.parseInt(line, 10))
}

/** Does something while the media workers answer nothing. */
async function whileWorkersStandStill(work: () => Promise<void>): Promise<void> {
  const pids = workers()
  for (const pid of pids) process.kill(pid, 'SIGSTOP')
  try {
    await work()
  } finally {
    for (const pid of pids) process.kill(pid, 'SIGCONT')
  }
}

withWorker(`what happens at the same moment${skipped}`, () => {
  test('a permission that goes while a camera is being set up takes the camera along', async () => {
    await using stack = await startNodes(1)
    const channel = await stack.voiceChannel()
    const [anna, bert] = [await stack.person(), await stack.person()]
    for (const one of [anna, bert]) await one.join(channel.id)
    const transports = [(await anna.transport('send')).id, (await bert.transport('send')).id]
    const before = await bert.produce('camera', transports[1])
    let outcome: Promise<unknown> = Promise.resolve()
    await whileWorkersStandStill(async () => {
      outcome = anna.produce('camera', transports[0]).catch((error) => error)
      // What it asks of permissions is known, and answered by the time that another's is seen to be gone.
      await Bun.sleep(0)
      for (const { userId } of [anna, bert]) {
        stack.authority.snapshot.overrides.push({
          ...{ channelId: channel.id, targetKind: 'member', targetId: userId, allow: [] },
          deny: ['voice.video'],
        })
      }
      await stack.authority.changed()
      await anna.hears('voice.producerRemoved', ({ producerId }) => producerId === before)
    })
    expect(await outcome).toEqual(problem('access.forbidden'))
    expect(bert.heard('voice.producerAdded')).toEqual([])
    await eventually(async () => (await anna.state())?.camera === false)
  })

  test('a permission that goes in the moment of joining ends that', async () => {
    await using stack = await startNodes(1)
    const channel = await stack.voiceChannel()
    const anna = await stack.person()
    const { authority } = Guard.prototype
    // What the channel lets its calls be is the last that is looked at.
    const looked = spyOn(Guard.prototype, 'authority').mockImplementation(async function (this: Guard) {
      if (new Error().stack?.includes('limitsOf') && stack.authority.snapshot.overrides.length === 0) {
        stack.authority.snapshot.overrides.push({
          ...{ channelId: channel.id, targetKind: 'member', targetId: anna.userId, allow: [] },
          deny: ['voice.connect'],
        })
        await stack.authority.changed()
      }
      return authority.call(this)
    })
    try {
      await anna.join(channel.id).catch(() => {})
      expect(stack.authority.snapshot.overrides).toHaveLength(1)
      await eventually(async () => (await stack.port.voiceCall({ channelId: channel.id })).call === null)
    } finally {
      looked.mockRestore()
    }
  })

  test('a mute that is recorded when the call comes back elsewhere holds there', async () => {
    let recording: ((done: () => void) => void) | undefined
    const system = {
      async ingestAudit() {
        await new Promise<void>((done) => (recording ? recording(done) : done()))
        return {}
      },
    }
    await using stack = await startNodes(1, { system })
    const channel = await stack.voiceChannel()
    const anna = await stack.person()
    const moderator = await stack.person({ permissions: ['voice.moderate'] })
    await anna.join(channel.id)
    const { promise, resolve } = Promise.withResolvers<() => void>()
    recording = resolve
    const muting = moderator.moderate(anna, 'mute')
    const recorded = await promise
    // Another call of the same channel, before it is done.
    await anna.leave()
    await anna.join(channel.id)
    recorded()
    await muting
    await eventually(async () => (await anna.state())?.muted)
  })

  test('who asks for more than is taken is muted all the same', async () => {
    await using stack = await startNodes(1)
    const channel = await stack.voiceChannel()
    const [anna, bert] = [await stack.person(), await stack.person()]
    const moderator = await stack.person({ permissions: ['voice.moderate'] })
    for (const one of [anna, bert]) await one.join(channel.id)
    const { id: transportId } = await anna.transport('send')
    const id = await anna.produce('microphone', transportId)
    const { participant, port } = anna
    await whileWorkersStandStill(async () => {
      const flood = Array.from({ length: 100 }, () => port.voiceRestartIce({ participant, transportId }))
      const refused = (await Promise.allSettled(flood.slice(64))).map((one) => 'reason' in one && one.reason)
      expect(refused).toEqual(Array(36).fill(problem('voice.tooMany')))
      for (const one of flood) one.catch(() => {})
      const muting = moderator.moderate(anna, 'mute')
      muting.catch(() => {})
    })
    await bert.hears('voice.producerUpdated', ({ producer }) => producer.id === id && producer.paused)
  })
})

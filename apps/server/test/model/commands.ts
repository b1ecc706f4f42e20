import fc from 'fast-check'
import type { Device, Person } from './client.ts'
import { CUT, type Stack } from './stack.ts'
import { type ChannelName, channelNames, newWords, type World } from './world.ts'

/** What the commands can rely on: which instances run, who is in the private channel and in the group. */
export type Model = { alive: boolean[]; away: boolean[]; inside: boolean[]; grouped: boolean[] }
export type Real = {
  world: World
  stack: Pick<Stack, 'kill' | 'restart'> & { interrupt(instance: number, away: boolean): void }
  give(person: number, isIn: boolean): Promise<void>
}

type Command = fc.AsyncCommand<Model, Real>
type Work = (model: Model, real: Real) => Promise<unknown>
type Values = Record<string, unknown>

/** A command that tells what it is by its name and values. */
function command(name: string, values: Values, check: (model: Model) => boolean, run: Work): Command {
  return {
    check,
    run: async (model, real) => void (await run(model, real)),
    toString: () => `${name}(${JSON.stringify(values).slice(1, -1).replaceAll('"', '')})`,
  }
}

const always = () => true
/** Which of several, whatever their number turns out to be. */
const pick = <T>(from: readonly T[], at: number): T | undefined => from[at % Math.max(1, from.length)]
const choice = fc.nat(1_000)
/** Counted from the latest: more often one of the last few, so that several want the same one. */
const recent = fc.oneof(fc.nat(4), choice)
const pickBack = <T>(from: readonly T[], at: number): T | undefined => from.at(-1 - (at % Math.max(1, from.length)))
const instance = fc.nat(1)
const channel = fc.constantFrom<ChannelName>(...channelNames)
const waits = fc.boolean()
const emojis = ['👍', '🎉', '❤️']

/** Runs in the background, or until it is done. */
const doing = async (world: World, wait: boolean, work: Promise<unknown>) => {
  world.begin(work)
  if (wait) await Promise.race([work, Bun.sleep(200)])
}

const say = fc
  .record({ channel, by: choice, replyTo: fc.option(choice), copies: fc.nat(7), wait: waits })
  .map((given) =>
    command('Say', given, always, async (_, { world }) => {
      const device = pick(world.devices, given.by)!
      const channelId = world.channels[given.channel]
      // One in eight is asked for in several places at once.
      const copies = given.copies === 7 ? [0, 1, 1] : []
      const send = world.newSend(device.person, channelId, copies.length === 0 ? device : undefined)
      const target = given.replyTo === null ? undefined : pick(world.ledger.of(channelId), given.replyTo)?.message.id
      const asked = [
        world.sendBy(device, send, target),
        ...copies.map((at) => world.postUntilAnswered(send, at, target)),
      ]
      await doing(world, given.wait, Promise.all(asked))
    }),
  )

const pour = fc.record({ channel, by: choice, count: fc.integer({ min: 2, max: 6 }) }).map((given) =>
  command('Pour', given, always, async (_, { world }) => {
    const device = pick(world.devices, given.by)!
    for (let count = 0; count < given.count; count += 1) {
      world.begin(world.sendBy(device, world.newSend(device.person, world.channels[given.channel], device)))
    }
  }),
)

const post = fc.record({ channel, by: choice, instance, wait: waits }).map((given) =>
  command('Post', given, always, async (_, { world }) => {
    const send = world.newSend(pick(world.people, given.by)!, world.channels[given.channel], undefined)
    await doing(world, given.wait, world.postUntilAnswered(send, given.instance))
  }),
)

const path = ({ channelId, id }: { channelId: string; id: string }) => `/v1/channels/${channelId}/messages/${id}`

const edit = fc.record({ message: recent, instance, wait: waits }).map((given) =>
  command('Edit', given, always, async (_, { world }) => {
    const { ledger } = world
    const send = pickBack(ledger.acknowledged, given.message)
    if (!send) return
    const entry = { messageId: send.message.id, content: newWords(), revision: undefined as number | undefined }
    ledger.edits.push(entry)
    const body = { content: entry.content }
    const work = world.call(send.person, given.instance, 'PATCH', path(send.message), body).then((answer) => {
      if (answer !== CUT && answer.status === 200) entry.revision = answer.body.revision
    })
    await doing(world, given.wait, work)
  }),
)

const remove = fc.record({ message: recent, moderated: waits, instance, wait: waits }).map((given) =>
  command('Delete', given, always, async (_, { world }) => {
    const { ledger, people } = world
    const send = pickBack(ledger.acknowledged, given.message)
    if (!send) return
    const entry = { messageId: send.message.id, acknowledged: false }
    ledger.deletions.push(entry)
    const by = given.moderated ? people[0]! : send.person
    const work = world.call(by, given.instance, 'DELETE', path(send.message)).then((answer) => {
      entry.acknowledged = answer !== CUT && answer.status === 204
    })
    await doing(world, given.wait, work)
  }),
)

const removeMany = fc.record({ from: choice, count: fc.integer({ min: 2, max: 5 }), instance }).map((given) =>
  command('DeleteMany', given, always, async (_, { world }) => {
    const { ledger, people, channels } = world
    const chosen = ledger
      .of(channels.open)
      .slice(given.from % 10)
      .slice(0, given.count)
    if (chosen.length === 0) return
    const entries = chosen.map(({ message }) => ({ messageId: message.id, acknowledged: false }))
    ledger.deletions.push(...entries)
    const body = { messageIds: entries.map((one) => one.messageId) }
    const where = `/v1/channels/${channels.open}/messages/bulk-delete`
    const work = world.call(people[0]!, given.instance, 'POST', where, body).then((answer) => {
      if (answer !== CUT && answer.status === 200) for (const entry of entries) entry.acknowledged = true
    })
    await doing(world, false, work)
  }),
)

const react = fc
  .record({ message: recent, by: choice, emoji: fc.constantFrom(...emojis), on: fc.nat(2), instance, wait: waits })
  .map((given) =>
    command('React', given, always, async (_, { world }) => {
      const { ledger, people } = world
      const { message } = pickBack(ledger.acknowledged, given.message) ?? {}
      const fresh = message && { person: pick(people, given.by)!, message, emoji: given.emoji }
      // Back is taken what was given.
      const reaction = given.on > 0 ? fresh : pickBack(ledger.reactions, given.message)
      if (!reaction) return
      ledger.reactions.push(reaction)
      const where = `${path(reaction.message)}/reactions/${encodeURIComponent(reaction.emoji)}`
      const method = given.on > 0 ? 'PUT' : 'DELETE'
      await doing(world, given.wait, world.call(reaction.person, given.instance, method, where))
    }),
  )

const clear = fc.record({ message: recent, instance }).map((given) =>
  command('ClearReactions', given, always, async (_, { world }) => {
    const message = pickBack(world.ledger.acknowledged, given.message)?.message
    if (message)
      await doing(world, false, world.call(world.people[0]!, given.instance, 'DELETE', `${path(message)}/reactions`))
  }),
)

const pin = fc.record({ message: recent, on: fc.nat(2), instance, wait: waits }).map((given) =>
  command('Pin', given, always, async (_, { world }) => {
    const { ledger, people } = world
    const message =
      given.on > 0 ? pickBack(ledger.acknowledged, given.message)?.message : pickBack(ledger.pins, given.message)
    if (!message) return
    ledger.pins.push(message)
    const method = given.on > 0 ? 'PUT' : 'DELETE'
    await doing(world, given.wait, world.call(people[0]!, given.instance, method, `${path(message)}/pin`))
  }),
)

const backs = fc.array(fc.constantFrom(0, 0, 1, 3, 9), { minLength: 1, maxLength: 4 })
/** One after the other and at once, farther and less far. */
const read = fc.record({ by: fc.nat(2), channel, backs, socket: waits, instance }).map((given) =>
  command('Read', given, always, async (_, { world }) => {
    const device = pick(world.devices, given.by)!
    const channelId = world.channels[given.channel]
    const head = device.streams.get(`channel:${channelId}`)?.seq ?? 0
    const reads = given.backs.map((back) => {
      const seq = Math.max(0, head - back)
      return given.socket
        ? readBy(world, device, channelId, seq)
        : readOver(world, given.instance, device.person, channelId, seq)
    })
    await doing(world, false, Promise.all(reads))
  }),
)

const noteRead = ({ ledger }: World, { userId }: Person, channelId: string, seq: number) => {
  const key = `${userId} ${channelId}`
  ledger.reads.set(key, Math.max(seq, ledger.reads.get(key) ?? 0))
}

async function readBy(world: World, device: Device, channelId: string, seq: number) {
  const sent = await device.read(channelId, seq)
  if (!('problem' in sent))
    noteRead(world, device.person, channelId, (sent.message as unknown as { lastReadSeq: number }).lastReadSeq)
}

async function readOver(world: World, at: number, person: Person, channelId: string, seq: number) {
  const answer = await world.call(person, at, 'PUT', `/v1/channels/${channelId}/read`, { seq })
  if (answer !== CUT && answer.status === 200) noteRead(world, person, channelId, answer.body.lastReadSeq)
}

const remember = fc.record({ by: choice, channel }).map((given) =>
  command('Remember', given, always, async (_, { world }) => {
    const { person, streams } = pick(world.devices, given.by)!
    const stream = `channel:${world.channels[given.channel]}`
    const followed = streams.get(stream)
    if (!followed?.held) return
    world.ledger.snapshots.push({ person, stream, seq: followed.seq, held: structuredClone(followed.held) })
  }),
)

const reconnect = fc
  .record({ by: choice, instance })
  .map((given) =>
    command('Reconnect', given, always, async (_, { world }) =>
      pick(world.devices, given.by)!.reconnect(given.instance),
    ),
  )

const MOST_DEVICES = 12
/** It knows nothing of what was before. */
const arrive = fc.record({ by: choice, instance }).map((given) =>
  command('NewDevice', given, always, async (_, { world }) => {
    if (world.devices.length < MOST_DEVICES) world.newDevice(pick(world.people, given.by)!, given.instance)
  }),
)

const kill = instance.map((at) =>
  command(
    'Kill',
    { at },
    (model) => model.alive[at]!,
    async (model, { world, stack }) => {
      model.alive[at] = false
      model.away[at] = false
      for (const device of world.devices) if (device.at === at) device.cut()
      await stack.kill(at)
    },
  ),
)

const restart = instance.map((at) =>
  command(
    'Restart',
    { at },
    (model) => !model.alive[at],
    async (model, { stack }) => {
      model.alive[at] = true
      await stack.restart(at)
    },
  ),
)

const interrupt = fc.record({ at: instance, away: waits }).map(({ at, away }) =>
  command(
    'Bus',
    { at, away },
    (model) => model.alive[at]! && model.away[at] !== away,
    async (model, { stack }) => {
      model.away[at] = away
      stack.interrupt(at, away)
    },
  ),
)

const move = fc.record({ person: fc.nat(4), isIn: waits }).map(({ person, isIn }) =>
  command(
    isIn ? 'Give' : 'Take',
    { person },
    (model) => model.inside[person] !== isIn,
    async (model, { give }) => {
      model.inside[person] = isIn
      await give(person, isIn)
    },
  ),
)

const regroup = fc.record({ person: fc.integer({ min: 1, max: 4 }), isIn: waits, instance }).map((given) =>
  command(
    given.isIn ? 'Join' : 'Leave',
    given,
    (model) => model.grouped[given.person] !== given.isIn,
    async (model, { world }) => {
      model.grouped[given.person] = given.isIn
      const where = `/v1/dms/${world.channels.group}/participants/${world.people[given.person]!.userId}`
      const work = world.call(world.people[0]!, given.instance, given.isIn ? 'PUT' : 'DELETE', where)
      await doing(world, true, work)
    },
  ),
)

/** Some are more likely than others. */
const times = (count: number, arbitrary: fc.Arbitrary<Command>) => Array.from({ length: count }, () => arbitrary)

const deeds = [
  ...[...times(6, say), ...times(2, pour), ...times(2, post), ...times(3, edit), ...times(2, remove), removeMany],
  ...[...times(4, react), clear, ...times(2, pin), ...times(3, read), ...times(2, remember), ...times(3, reconnect)],
  ...[move, regroup, arrive],
]

/** What people do. */
export const deedsOfPeople = (most: number) => fc.commands(deeds, { maxCommands: most, size: 'max' })

/** What people do, and what happens to the instances meanwhile. */
export const deedsAndKills = (most: number) =>
  fc.commands([...deeds, kill, ...times(2, restart), interrupt], { maxCommands: most, size: 'max' })

import { everyoneDefaults, type Message } from '@conntext/contracts'
import { newId } from '@conntext/kernel'
import { Device, type Person, type Sent } from './client.ts'
import type { Held } from './fold.ts'
import { type Answer, CUT, type Place, type Stack } from './stack.ts'

export const channelNames = ['open', 'private', 'group', 'pair'] as const
export type ChannelName = (typeof channelNames)[number]

/** One message as it was asked for, however often: by its nonce. */
export type Send = {
  person: Person
  channelId: string
  nonce: string
  content: string
  /** Moments of the world: when it was first asked for, and when it was first acknowledged. */
  began: number
  acknowledged: number
  message: Message | undefined
  /** Whether it was asked for over one connection alone, in turn with what else is asked for there. */
  single: Device | undefined
}

export type Edit = { messageId: string; content: string; revision: number | undefined }
export type Deletion = { messageId: string; acknowledged: boolean }
export type Snapshot = { person: Person; stream: string; seq: number; held: Held }

/** What was asked for and what was answered. */
export class Ledger {
  readonly sends: Send[] = []
  readonly edits: Edit[] = []
  readonly deletions: Deletion[] = []
  /** What was given or taken back, or was to be. */
  readonly reactions: { person: Person; message: Message; emoji: string }[] = []
  readonly pins: Message[] = []
  /** By account and channel: the farthest that was answered. */
  readonly reads = new Map<string, number>()
  readonly snapshots: Snapshot[] = []
  readonly faults: string[] = []

  get acknowledged(): (Send & { message: Message })[] {
    return this.sends.filter((one): one is Send & { message: Message } => one.message !== undefined)
  }

  of(channelId: string) {
    return this.acknowledged.filter((one) => one.channelId === channelId)
  }
}

let last = 0

/** No other text contains it. */
export function newWords(): string {
  last += 1
  return `words${last.toString().padStart(6, '0')}`
}

/** People with their devices, in a few channels and conversations. */
export class World {
  readonly ledger = new Ledger()
  readonly devices: Device[] = []
  readonly #underWay = new Set<Promise<unknown>>()
  #moment = 0

  constructor(
    readonly place: Place,
    /** The first is a moderator. */
    readonly people: Person[],
    readonly channels: Record<ChannelName, string>,
  ) {
    for (const [index, person] of people.entries()) this.newDevice(person, index)
    // Two people have a second device, on the other instance.
    for (const [index, person] of people.slice(0, 2).entries()) this.newDevice(person, index + 1)
  }

  newDevice(person: Person, home: number): void {
    this.devices.push(new Device(`device ${this.devices.length}`, person, this.place, home % this.place.size))
  }

  /** Goes on with the next while this is under way. */
  begin(work: Promise<unknown>): void {
    const noted = work.catch((error: unknown) => void this.ledger.faults.push(String(error)))
    this.#underWay.add(noted)
    void noted.finally(() => this.#underWay.delete(noted))
  }

  get idle(): boolean {
    return this.#underWay.size === 0
  }

  async call(
    person: Person,
    instance: number,
    method: string,
    path: string,
    body?: unknown,
  ): Promise<Answer | typeof CUT> {
    const answer = await this.place.call(await this.place.reach(instance), person.token, method, path, body)
    if (answer !== CUT && answer.status >= 500 && answer.status !== 503) {
      this.ledger.faults.push(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
    }
    return answer
  }

  newSend(person: Person, channelId: string, single: Device | undefined): Send {
    const began = ++this.#moment
    const send = { person, channelId, nonce: newId(), content: newWords(), began, acknowledged: Infinity, single }
    this.ledger.sends.push({ ...send, message: undefined })
    return this.ledger.sends.at(-1)!
  }

  /** One of the ways in which a message is sent was answered. */
  acknowledge(send: Send, message: Message): void {
    const { nonce, person, channelId, message: before } = send
    const isIt = message.nonce === nonce && message.authorId === person.userId && message.channelId === channelId
    if (!isIt) this.ledger.faults.push(`a send of ${nonce} was answered with ${JSON.stringify(message)}`)
    if (before && before.id !== message.id) this.ledger.faults.push(`${nonce} made ${before.id} and ${message.id}`)
    if (before && before.seq !== message.seq) this.ledger.faults.push(`${nonce} has ${before.seq} and ${message.seq}`)
    if (before) return
    send.message = message
    send.acknowledged = ++this.#moment
  }

  async sendBy(device: Device, send: Send, replyTo?: string): Promise<void> {
    const { channelId, content, nonce } = send
    const sent: Sent = await device.send({ channelId, content, nonce, ...(replyTo ? { replyTo } : {}) })
    if ('message' in sent) this.acknowledge(send, sent.message)
  }

  /** Over HTTP, until there is an answer. */
  async postUntilAnswered(send: Send, instance: number, replyTo?: string): Promise<void> {
    const { person, channelId, content, nonce } = send
    const body = { content, nonce, ...(replyTo ? { replyTo } : {}) }
    for (;;) {
      const answer = await this.call(person, instance, 'POST', `/v1/channels/${channelId}/messages`, body)
      if (answer !== CUT && answer.status === 201) this.acknowledge(send, answer.body)
      if (answer !== CUT && answer.status !== 503) return
      await Bun.sleep(5)
    }
  }

  close(): void {
    for (const device of this.devices) device.close()
  }
}

/** A world of its own on the stack: five people, the first of them a moderator. */
export async function populate({ authority, place }: Stack) {
  const { snapshot } = authority
  const everyone = snapshot.roles.find((role) => role.isEveryone)!
  const insiders = { ...everyone, id: newId(), name: `insiders ${newId()}`, isEveryone: false, permissions: [] }
  snapshot.roles.push(insiders)
  const moderator = await authority.member({ permissions: [...everyoneDefaults, 'message.manage', 'message.pin'] })
  const people: Person[] = [moderator]
  for (let count = 0; count < 4; count += 1) people.push(await authority.member())
  const [open, hidden] = [await authority.channel(), await authority.channel()]
  const override = { channelId: hidden.id, targetKind: 'role' as const }
  snapshot.overrides.push(
    { ...override, targetId: everyone.id, allow: [], deny: ['channel.view'] },
    { ...override, targetId: insiders.id, allow: ['channel.view'], deny: [] },
  )
  const rolesOfModerator = snapshot.roles.filter((role) => role.name === `role of ${moderator.userId}`)
  const give = (index: number, isIn: boolean) => {
    const roleIds = [...(index === 0 ? rolesOfModerator.map(({ id }) => id) : []), ...(isIn ? [insiders.id] : [])]
    return authority.setGrant(people[index]!.userId, { roleIds })
  }
  await authority.changed()
  for (const index of people.keys()) await give(index, true)
  const begin = async (others: Person[], name?: string): Promise<string> => {
    const body = { userIds: others.map((one) => one.userId), ...(name ? { name } : {}) }
    const answer = await place.call(0, moderator.token, 'POST', '/v1/dms', body)
    if (answer === CUT || answer.status !== 201) throw new Error('a conversation could not be begun')
    return answer.body.id
  }
  const channels = {
    open: open.id,
    private: hidden.id,
    group: await begin(people.slice(1), 'Group'),
    pair: await begin([people[1]!]),
  }
  return { people, channels, give }
}

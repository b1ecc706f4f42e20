import { expect } from 'bun:test'
import type { Message } from '@conntext/contracts'
import { eventually } from '@conntext/testing'
import { Device, fetchHeld, type Person } from './client.ts'
import { type Held, nothingHeld, shown } from './fold.ts'
import { CUT, type Place } from './stack.ts'
import type { World } from './world.ts'

const WITHIN_MS = 60_000

/** Resolves when nobody has anything to do any more: all that was asked is answered, and everybody has all that there is. */
export async function settle(world: World, quiet: () => Promise<boolean>): Promise<void> {
  await eventually(() => world.idle, WITHIN_MS)
  await eventually(quiet, WITHIN_MS)
  for (const device of world.devices) {
    const heads = await headsOf(world.place, device.person)
    const upToDate = () => device.settled && Bun.deepEquals(positions(device), heads)
    await eventually(upToDate, WITHIN_MS).catch(() => expect(positions(device)).toEqual(heads))
    await eventually(() => hasRead(world.place, device), WITHIN_MS).catch(async () => {
      const { is, known } = await readings(world.place, device)
      expect([device.name, known]).toEqual([device.name, is])
    })
  }
}

type Marks = { channelId: string; lastReadSeq: number; lastSeq: number }[]

const marksOf = async (place: Place, person: Person): Promise<Marks> => (await ask(place, person, '/v1/unread')).items

/** Where the streams stand that a person may see. */
const headsOf = async (place: Place, person: Person): Promise<Record<string, number>> =>
  Object.fromEntries((await marksOf(place, person)).map(({ channelId, lastSeq }) => [`channel:${channelId}`, lastSeq]))

const positions = ({ streams }: Device) =>
  Object.fromEntries([...streams].flatMap(([name, { seq }]) => (name.startsWith('channel:') ? [[name, seq]] : [])))

/** How far a person has read each channel, as it is, and as a device of theirs knows. */
async function readings(place: Place, { person, reads }: Device) {
  const marks = await marksOf(place, person)
  return {
    is: marks.map(({ channelId, lastReadSeq }) => [channelId, lastReadSeq]),
    known: marks.map(({ channelId }) => [channelId, reads.get(channelId) ?? 0]),
  }
}

async function hasRead(place: Place, device: Device): Promise<boolean> {
  const { is, known } = await readings(place, device)
  return Bun.deepEquals(is, known)
}

/** All that must hold of a world that has settled. */
export async function check(world: World): Promise<void> {
  expect([...world.ledger.faults, ...world.devices.flatMap((device) => device.faults)]).toEqual([])
  const fresh = new Map<Person, Map<string, Held>>()
  for (const person of world.people)
    fresh.set(person, await fetchAll(world.place, person, Object.values(world.channels)))
  for (const device of world.devices) {
    for (const [id, held] of fresh.get(device.person)!) {
      expect(shown(device.streams.get(`channel:${id}`)!.held!)).toEqual(shown(held))
    }
  }
  await checkReads(world)
  const everything = await checkReplays(world, fresh)
  const [moderator] = world.people
  const messages = new Map([...fresh.get(moderator!)!.values()].flatMap((held) => [...held.messages]))
  checkSends(world, messages)
  checkOrder(world)
  checkEdits(world, messages)
  checkDeletions(world, messages, everything)
}

/** What a person may see, as the history and the lists of pins have it now. */
async function fetchAll(place: Place, person: Person, channelIds: string[]): Promise<Map<string, Held>> {
  const found = new Map<string, Held>()
  for (const id of channelIds) {
    const held = await fetchHeld(place, person, id, 1)
    if (!held) continue
    found.set(id, held)
    expect(await fetchPins(place, person, id)).toEqual(shown(held).pins)
  }
  return found
}

async function ask(place: Place, { token }: Person, path: string) {
  const answer = await place.call(0, token, 'GET', path)
  if (answer === CUT || answer.status !== 200) throw new Error(`${path} could not be had`)
  return answer.body
}

async function fetchPins(place: Place, person: Person, id: string): Promise<string[]> {
  const pins: string[] = []
  for (let cursor = ''; ; ) {
    const { items, nextCursor } = await ask(place, person, `/v1/channels/${id}/pins?limit=100${cursor}`)
    pins.push(...items.map((one: Message) => one.id))
    if (nextCursor === null) return pins
    cursor = `&cursor=${nextCursor}`
  }
}

async function checkReads({ place, people, ledger }: World): Promise<void> {
  for (const person of people) {
    for (const { channelId, lastReadSeq, lastSeq } of await marksOf(place, person)) {
      expect(lastReadSeq).toBeLessThanOrEqual(lastSeq)
      expect(lastReadSeq).toBeGreaterThanOrEqual(ledger.reads.get(`${person.userId} ${channelId}`) ?? 0)
    }
  }
}

/** From the beginning and from wherever somebody once was: all come to what is there. Answers the text of all replays. */
async function checkReplays({ place, people, ledger }: World, fresh: Map<Person, Map<string, Held>>): Promise<string> {
  let text = ''
  for (const [index, person] of people.entries()) {
    const own = fresh.get(person)!
    const streams = [...own.keys()].map((id) => `channel:${id}`)
    const whole = await replay(
      place,
      person,
      index,
      new Map(streams.map((stream) => [stream, { seq: 0, held: nothingHeld() }])),
    )
    text += whole.frames.join('\n')
    for (const [id, held] of own) {
      const told = whole.streams.get(`channel:${id}`)!.held!
      expect(shown(told)).toEqual(shown(held))
      if (index === 0) await checkReactors(place, person, id, told)
    }
    for (const { stream, seq, held } of ledger.snapshots.filter((one) => one.person === person)) {
      if (!streams.includes(stream)) continue
      const part = await replay(place, person, seq, new Map([[stream, { seq, held }]]))
      expect(shown(part.streams.get(stream)!.held!)).toEqual(shown(own.get(stream.slice('channel:'.length))!))
      text += part.frames.join('\n')
    }
  }
  return text
}

async function replay(place: Place, person: Person, home: number, from: Map<string, { seq: number; held: Held }>) {
  const cursors = Object.fromEntries([...from].map(([stream, { seq }]) => [stream, seq]))
  const states = new Map([...from].map(([stream, { held }]) => [stream, held]))
  const device = new Device('replay', person, place, home % place.size, { cursors, states })
  const heads = await headsOf(place, person)
  await eventually(() => device.settled && Bun.deepEquals(positions(device), heads), WITHIN_MS)
  device.close()
  expect(device.faults).toEqual([])
  return device
}

async function checkReactors(place: Place, person: Person, channelId: string, told: Held): Promise<void> {
  for (const message of told.messages.values()) {
    for (const { emoji, count } of message.reactions) {
      const path = `/v1/channels/${channelId}/messages/${message.id}/reactions/${encodeURIComponent(emoji)}?limit=100`
      const { items } = await ask(place, person, path)
      const users = items.map((one: { userId: string }) => one.userId)
      expect(users).toEqual([...told.reactors.get(`${message.id} ${emoji}`)!].sort())
      expect(users).toHaveLength(count)
    }
  }
}

/** What was acknowledged is there once, unless it was to be deleted; and nothing is there that nobody sent. */
function checkSends({ ledger }: World, messages: Map<string, Message>): void {
  const toDelete = new Set(ledger.deletions.map((one) => one.messageId))
  const sent = new Map(ledger.sends.map((send) => [send.nonce, send]))
  const missing = ledger.acknowledged.filter(({ message: { id } }) => !messages.has(id) && !toDelete.has(id))
  expect(missing).toEqual([])
  const seen = new Set<string>()
  for (const message of messages.values()) {
    if (message.type !== 'default') continue
    const send = sent.get(message.nonce!)
    expect([message.authorId, message.channelId]).toEqual([send!.person.userId, send!.channelId])
    if (send!.message) expect([message.id, message.seq]).toEqual([send!.message.id, send!.message.seq])
    expect(seen.has(message.nonce!)).toBe(false)
    seen.add(message.nonce!)
    const words = ledger.edits.filter((edit) => edit.messageId === message.id).map((edit) => edit.content)
    expect([send!.content, ...words]).toContain(message.content)
  }
}

/** Whoever heard of one before they asked for the next finds it before the next; so does who asks in turn. */
function checkOrder({ ledger }: World): void {
  const overtaken = ledger.acknowledged.flatMap((one) =>
    ledger
      .of(one.channelId)
      .filter((next) => {
        const inTurn = one.single !== undefined && one.single === next.single && one.began < next.began
        return (inTurn || one.acknowledged < next.began) && one.message.seq >= next.message.seq
      })
      .map((next) => [one.nonce, next.nonce]),
  )
  expect(overtaken).toEqual([])
}

/** An edit that was acknowledged is what the message says, unless a later one is. */
function checkEdits({ ledger }: World, messages: Map<string, Message>): void {
  for (const { messageId, content, revision } of ledger.edits) {
    const message = messages.get(messageId)
    if (!message || revision === undefined) continue
    expect(message.revision).toBeGreaterThanOrEqual(revision)
    if (message.revision === revision) expect(message.content).toBe(content)
  }
}

/** What was deleted is gone with all its words, from whatever anybody is told again. */
function checkDeletions({ ledger }: World, messages: Map<string, Message>, told: string): void {
  const stayed = ledger.deletions.filter((one) => one.acknowledged && messages.has(one.messageId))
  expect(stayed).toEqual([])
  const now = JSON.stringify([...messages.values()])
  const gone = [
    ...ledger.acknowledged.map(({ message, content }) => ({ id: message.id, content })),
    ...ledger.edits.map(({ messageId, content }) => ({ id: messageId, content })),
  ].filter(({ id }) => !messages.has(id))
  const left = gone.filter(({ content }) => told.includes(content) || now.includes(content))
  expect(left).toEqual([])
}

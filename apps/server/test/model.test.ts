import { expect, test } from 'bun:test'
import {
  messageReactionCounts,
  messageReactions,
  messageRevisions,
  messages,
  messagingOutbox,
  streamEvents,
  streams,
} from '@conntext/db-communications'
import { inArray, isNull, sql } from 'drizzle-orm'
import fc from 'fast-check'
import { deedsAndKills, deedsOfPeople, type Model, type Real } from './model/commands.ts'
import { check, settle } from './model/invariants.ts'
import { populateServer, startOne } from './model/server.ts'
import { type Stack, startStack } from './model/stack.ts'
import { populate, World } from './model/world.ts'

// A new one each time, so that every run tries other things; told in the name below, to try the same again.
const seed = Number(process.env.CONNTEXT_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31))
const RUNS = 10
const COMMANDS = 400

const newModel = (people: number): Model => {
  const all = Array.from({ length: people }, () => true)
  return { alive: [true, true], away: [false, false], inside: [...all], grouped: [...all] }
}

/** Nothing is owed any more: what has happened has been told. */
async function isQuiet({ db }: Stack): Promise<boolean> {
  const owed = await db.select().from(messagingOutbox).where(isNull(messagingOutbox.deliveredAt)).limit(1)
  return owed.length === 0
}

/** The database itself: numbers without gaps, nonces used once, and nothing left of what was deleted. */
async function checkStored({ db }: Stack, world: World): Promise<void> {
  const names = Object.values(world.channels).map((id) => `channel:${id}`)
  const logs = await db
    .select({
      name: streams.name,
      head: streams.lastSeq,
      events: sql<number>`(select count(*)::int from ${streamEvents} e where e.stream = ${streams}.name)`,
      last: sql<number>`(select max(seq)::int from ${streamEvents} e where e.stream = ${streams}.name)`,
    })
    .from(streams)
    .where(inArray(streams.name, names))
  for (const { head, events, last } of logs) expect([events, last]).toEqual([head, head])
  const twice = await db
    .select({ nonce: messages.nonce })
    .from(messages)
    .groupBy(messages.channelId, messages.authorId, messages.nonce)
    .having(sql`${messages.nonce} is not null and count(*) > 1`)
  expect(twice).toEqual([])
  const rows = await db
    .select({ id: messages.id, content: messages.content, deletedAt: messages.deletedAt })
    .from(messages)
    .where(inArray(messages.channelId, Object.values(world.channels)))
  const gone = rows.filter((one) => one.deletedAt !== null)
  expect(gone.filter((one) => one.content !== '')).toEqual([])
  if (gone.length === 0) return
  const ids = gone.map((one) => one.id)
  for (const table of [messageRevisions, messageReactions, messageReactionCounts])
    expect(await db.select().from(table).where(inArray(table.messageId, ids))).toEqual([])
}

test(`whatever people do and whatever ends meanwhile, all come to the same; CONNTEXT_TEST_SEED=${seed}`, async () => {
  await using stack = await startStack(seed)
  const seen = { killed: 0, acknowledged: 0, deleted: 0, replayed: 0 }
  const kill = (index: number) => {
    seen.killed += 1
    return stack.kill(index)
  }
  const property = fc.asyncProperty(deedsAndKills(COMMANDS), async (steps) => {
    for (const index of stack.instances.keys()) await stack.restart(index)
    const { people, channels, give } = await populate(stack)
    const world = new World(stack.place, people, channels)
    try {
      const interrupt = (at: number, away: boolean) => stack.instances[at]?.bus.interrupt(away)
      const real: Real = { world, give, stack: { kill, restart: stack.restart, interrupt } }
      const model = newModel(people.length)
      await fc.asyncModelRun(() => ({ model, real }), steps)
      for (const index of stack.instances.keys()) {
        await stack.restart(index)
        stack.instances[index]?.bus.interrupt(false)
      }
      // Somebody has to see everything.
      await give(0, true)
      await settle(world, () => isQuiet(stack))
      await check(world)
      await checkStored(stack, world)
      seen.acknowledged += world.ledger.acknowledged.length
      seen.deleted += world.ledger.deletions.filter((one) => one.acknowledged).length
      seen.replayed += world.ledger.snapshots.length
    } finally {
      world.close()
    }
  })
  await fc.assert(property, { seed, numRuns: RUNS, endOnFailure: true, unbiased: true })
  // The runs were worth it: none of these is a rarity.
  for (const count of [seen.killed, seen.acknowledged, seen.deleted, seen.replayed])
    expect(count).toBeGreaterThan(RUNS / 5)
}, 600_000)

test(`a server that is killed while people talk; CONNTEXT_TEST_SEED=${seed}`, async () => {
  const { place, server, killAndRestart } = await startOne()
  await using _ = server
  const { people, channels, give } = await populateServer(server, place)
  const world = new World(place, people, channels)
  const nothing = { kill: async () => {}, restart: async () => {}, interrupt() {} }
  const deeds = fc.tuple(deedsOfPeople(300), deedsOfPeople(300))
  const property = fc.asyncProperty(deeds, async ([before, after]) => {
    const model = newModel(people.length)
    const real: Real = { world, give, stack: nothing }
    await fc.asyncModelRun(() => ({ model, real }), before)
    // What was begun is under way.
    const back = killAndRestart()
    await fc.asyncModelRun(() => ({ model, real }), after)
    await back
    await settle(world, async () => true)
    await check(world)
  })
  try {
    await fc.assert(property, { seed, numRuns: 1, endOnFailure: true, unbiased: true })
  } finally {
    world.close()
  }
}, 300_000)

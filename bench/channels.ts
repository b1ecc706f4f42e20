import { listRoles, unwrap, updateServer } from '@conntext/sdk'
import { randomUUIDv7 } from 'bun'
import type { Job } from './crowd/protocol.ts'
import { type Account, makeAccounts, renewTokens } from './lib/accounts.ts'
import { startCrowd } from './lib/crowd.ts'
import { equalise, line, type Run, run, type Side } from './lib/deliveries.ts'
import { openPostgres } from './lib/postgres.ts'
import type { Bench } from './lib/result.ts'
import { startBaseline, startBenchServer } from './lib/server.ts'

const CHANNELS = 1_000
const ACCOUNTS = 100
const CLIENTS_PER_ACCOUNT = 5
/** Who send, and wait for the answer before they do again. */
const SENDERS = 64

/** A channel, who is in it by the number of their account, and the clients that follow it. */
type Room = { id: string; accounts: number[]; clients: number[] }

type Setting = {
  quick: boolean
  bench: Awaited<ReturnType<typeof startBenchServer>>
  bare: Awaited<ReturnType<typeof startBaseline>>
  accounts: Account[]
}

/**
 * 1,000 channels with 10 clients each, every one of them written in: private ones, each to two people with five clients,
 * so that each is an audience of its own, and public ones, which all see. Against bare Bun.serve publish of frames of the
 * same length to as many topics with as many clients.
 */
export const channels: Bench = async ({ quick }, report) => {
  await using bench = await startBenchServer()
  await using bare = await startBaseline('topics.ts')
  const accounts = await makeAccounts(bench, ACCOUNTS)
  const setting = { quick, bench, bare, accounts }
  const secluded = Array.from({ length: CHANNELS }, (_, index) => room(index))
  await fill(bench, secluded, accounts)
  report(await measure(setting, secluded, 'channels', { audiences: CHANNELS }))
  await open(bench)
  await renewTokens(bench, accounts.slice(0, 2))
  const clients = Array.from({ length: 2 * CLIENTS_PER_ACCOUNT }, (_, index) => index)
  const shared = secluded.map(({ id }) => ({ id, accounts: [0, 1], clients }))
  report(await measure(setting, shared, 'channels_public', { audiences: 1 }))
}

/** Each two people have at most one of these, and each is in as many. */
function room(index: number): Room {
  const one = index % ACCOUNTS
  const accounts = [one, (one + 1 + Math.floor(index / ACCOUNTS)) % ACCOUNTS]
  const clients = accounts.flatMap((account) =>
    Array.from({ length: CLIENTS_PER_ACCOUNT }, (_, client) => account * CLIENTS_PER_ACCOUNT + client),
  )
  return { id: randomUUIDv7(), accounts, clients }
}

async function measure({ quick, bench, bare, accounts }: Setting, rooms: Room[], name: string, more: object) {
  await using crowd = await startCrowd(1)
  const count = Math.max(...rooms.flatMap(({ clients }) => clients)) + 1
  const receivers = rooms[0]!.clients.length
  const topics = Array.from({ length: count }, () => [] as string[])
  rooms.forEach(({ clients }, index) => {
    for (const client of clients) topics[client]!.push(`t${index}`)
  })
  const side = (group: string, pid: number, target: (room: Room, index: number) => string): Side => {
    // Everybody in turn, so that those who send at a time are different ones.
    const jobs = rooms.map(
      (room, index): Job => ({ client: room.clients[index % receivers]!, target: target(room, index) }),
    )
    return { group, pids: [pid], jobs, clients: count, receivers, padding: 0 }
  }
  const ours = side('ours', bench.server.pid, ({ id }) => id)
  const theirs = side('bare', bare.pid, (_, index) => `t${index}`)
  const tokenOf = (client: number) => accounts[Math.floor(client / CLIENTS_PER_ACCOUNT)]!.token
  const members = topics.map((_, client) => ({ token: tokenOf(client) }))
  await crowd.open('ours', 'gateway', Number(new URL(bench.server.url).port), members)
  const strangers = topics.map((followed) => ({ path: `/${followed.join()}` }))
  await crowd.open('bare', 'bare', bare.port, strangers)
  // Every channel once, so that none is followed for the first time while it is measured.
  await run(crowd, ours, CHANNELS, SENDERS)
  await equalise(crowd, ours, theirs)
  const rounds = { ours: [] as Run[], theirs: [] as Run[] }
  for (let round = 0; round < (quick ? 3 : 5); round += 1) {
    rounds.ours.push(await run(crowd, ours, CHANNELS * (quick ? 3 : 10), SENDERS))
    rounds.theirs.push(await run(crowd, theirs, CHANNELS * (quick ? 3 : 10), SENDERS))
  }
  return line(name, rounds, {
    baselineOf: 'bare Bun.serve publish of frames of the same length to as many topics',
    ...{ channels: CHANNELS, clientsPerChannel: receivers, clients: count, senders: SENDERS, ...more },
  })
}

type Server = Setting['bench']

/** Puts the channels straight into the database: made one after another, each would be a change that everybody hears of. */
async function fill(bench: Server, rooms: Room[], accounts: Account[]): Promise<void> {
  const everyone = (await unwrap(listRoles({ client: bench.api.client }))).items.find(({ isEveryone }) => isEveryone)!
  const rows = rooms.map(({ id }, index) => ({
    id,
    name: `room ${index}`,
    name_key: `room ${index}`,
    type: 'text',
    position: index + 10,
  }))
  const view = ['channel.view']
  const overrides = rooms.flatMap((room) => [
    { channel_id: room.id, target_kind: 'role', target_id: everyone.id, allow: [] as string[], deny: view },
    ...room.accounts.map((account) => ({
      ...{ channel_id: room.id, target_kind: 'member', target_id: accounts[account]!.id, allow: view, deny: [] },
    })),
  ])
  const sql = await openPostgres(bench.server.data, 'server_details', 1)
  await sql`insert into channels ${sql(rows)}`
  await sql`insert into channel_overrides select * from jsonb_to_recordset(${sql.json(overrides)}) as one
    (channel_id uuid, target_kind text, target_id uuid, allow text[], deny text[])`
  await sql.end()
  await changed(bench)
}

/** Lets everybody see all of them. */
async function open(bench: Server): Promise<void> {
  const sql = await openPostgres(bench.server.data, 'server_details', 1)
  await sql`delete from channel_overrides`
  await sql.end()
  await changed(bench)
}

/** A change like any other has everybody read anew who may see what. */
const changed = ({ api }: Server) => unwrap(updateServer({ client: api.client, body: { description: randomUUIDv7() } }))

import { Api, createRole, listRoles, register, setOverride, unwrap, updateMember, updateServer } from '@conntext/sdk'
import { identify } from '../lib/identify.ts'
import { createBaseline } from '../lib/postgres.ts'
import { type Bench, cost, median, percentile } from '../lib/result.ts'
import { startBaseline, startBenchServer } from '../lib/server.ts'

/**
 * Milliseconds from sending the request that takes a role away until the channel is gone from its former holder's open
 * WebSocket; against a bare Bun.serve that, at a request, writes as many rows to the same Postgres in one transaction and
 * publishes to an open WebSocket: the same trip without who may do it, what it changes for whom, and limits.
 */
export const revoke: Bench = async ({ quick }, report) => {
  await using bench = await startBenchServer()
  const database = await createBaseline(bench.server.data, 1)
  await using bare = await startBaseline('notify.ts', bench.server.data)
  const { member, roleId } = await prepare(bench)
  const ours = await openSocket(
    `${bench.server.url.replace('http', 'ws')}/v1/gateway`,
    identify(await member.api.accessToken()),
  )
  const theirs = await openSocket(`ws://127.0.0.1:${bare.port}`, (socket, ready) => {
    socket.onopen = ready
  })
  const setRoles = (roleIds: string[]) =>
    unwrap(updateMember({ client: bench.api.client, path: { id: member.id }, body: { roleIds } }))
  const times = { ours: [] as number[], answers: [] as number[], theirs: [] as number[] }
  for (let round = 0; round < (quick ? 60 : 300); round += 1) {
    const given = ours.frame(isAccess('channels'))
    await Promise.all([setRoles([roleId]), given])
    const gone = ours.frame(isAccess('removed'))
    const began = performance.now()
    const answered = setRoles([]).then(() => times.answers.push(performance.now() - began))
    times.ours.push((await gone) - began)
    await answered
    const heard = theirs.frame(() => true)
    const asked = performance.now()
    const answer = await fetch(`http://127.0.0.1:${bare.port}`, { method: 'PATCH', body: '{}' })
    await answer.arrayBuffer()
    times.theirs.push((await heard) - asked)
  }
  ours.socket.close()
  theirs.socket.close()
  await database.end()
  report(
    cost('revoke', 'ms', median(times.ours), median(times.theirs), {
      baselineOf: 'a bare Bun.serve that at a request commits as many rows, then publishes to a WebSocket',
      p99Ms: Number(percentile(times.ours, 0.99).toPrecision(4)),
      answerMs: Number(median(times.answers).toPrecision(4)),
    }),
  )
}

/** A member who sees the bench's channel by one role alone. */
async function prepare({ api, server, channelId }: Awaited<ReturnType<typeof startBenchServer>>) {
  const { client } = api
  await unwrap(updateServer({ client, body: { registrationMode: 'open' } }))
  const role = await unwrap(createRole({ client, body: { name: 'insiders', permissions: [] } }))
  const everyone = (await unwrap(listRoles({ client }))).items.find(({ isEveryone }) => isEveryone)!
  const override = (targetId: string, body: { allow: 'channel.view'[]; deny: 'channel.view'[] }) =>
    unwrap(setOverride({ client, path: { channelId, targetId }, body }))
  await override(everyone.id, { allow: [], deny: ['channel.view'] })
  await override(role.id, { allow: ['channel.view'], deny: [] })
  const member = new Api({ baseUrl: server.url })
  const body = { username: 'member', password: 'a-long-enough-password' }
  const joined = await unwrap(register({ client: member.client, body }))
  member.use(joined)
  return { member: { id: joined.user.id, api: member }, roleId: role.id }
}

const isAccess = (change: 'channels' | 'removed') => (text: string) => {
  const frame = JSON.parse(text) as { t?: string; d?: Record<string, unknown[]> }
  return frame.t === 'access.changed' && (frame.d?.[change]?.length ?? 0) > 0
}

type Begin = (socket: WebSocket, ready: () => void) => void

/** A socket whose next frame of a kind can be waited for; answers when it came. */
function openSocket(url: string, begin: Begin) {
  const socket = new WebSocket(url)
  const frame = (wanted: (text: string) => boolean) =>
    new Promise<number>((resolve) => {
      socket.onmessage = ({ data }) => {
        const at = performance.now()
        if (wanted(String(data))) resolve(at)
      }
    })
  return new Promise<{ socket: WebSocket; frame: typeof frame }>((resolve, reject) => {
    socket.onerror = () => reject(new Error('a socket could not be opened'))
    begin(socket, () => resolve({ socket, frame }))
  })
}

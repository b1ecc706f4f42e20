import type { Bus } from '@conntext/bus'
import { type Presence, type PresenceWords, type SaidPresence, subjects } from '@conntext/contracts'
import { eventually } from '@conntext/testing'
import type { Client, Frame } from './client.ts'

/** Everything that takes time, in little of it. */
export const quick = {
  windowMs: 20,
  announceMs: 5,
  graceMs: 400,
  aliveMs: 50,
  // Long beside the time for which a busy machine may leave a process alone.
  leaseMs: 1_500,
  tickMs: 20,
  joinMs: 2_000,
}

const isTold = (stream: string) => (one: Frame) =>
  one.op === 'event' && one.t === 'presence.updated' && one.stream === stream

/** All that a client was told of somebody, in order, from its `ready` on: statuses on the server's stream. */
export const statuses = (client: Client, userId: string): string[] =>
  history(client, userId).map(({ status }) => status)

export function history(client: Client, userId: string): Presence[] {
  const ready = client.frames.find((one) => one.op === 'ready')
  const told = client.frames.filter(isTold('server')).flatMap((one) => one.d.presences)
  return [...(ready?.presences ?? []), ...told].filter((one: Presence) => one.userId === userId)
}

/** How somebody is seen by a client at last. */
export const seen = (client: Client, userId: string): Presence | undefined => history(client, userId).at(-1)

export const untilSeen = (client: Client, userId: string, status: string) =>
  eventually(() => (seen(client, userId)?.status ?? 'offline') === status)

/** What a client was told of itself, on its own stream. */
export const own = (client: Client): Presence[] => {
  const ready = client.frames.find((one) => one.op === 'ready')
  return [ready.presence, ...client.frames.filter(isTold('user')).flatMap((one) => one.d.presences)]
}

export const presenceFrames = (client: Client): Frame[] => client.frames.filter(isTold('server'))

/** A bus to which one instance holds on until it is cut off, as a process is that was killed. */
export function severable() {
  let severed = false
  const wrap = (bus: Bus): Bus => ({
    ...bus,
    async publish(subject, payload) {
      if (!severed) await bus.publish(subject, payload)
    },
    async announce(subject, payload) {
      if (!severed) await bus.announce(subject, payload)
    },
    subscribe: (subject, listener) =>
      bus.subscribe(subject, (payload) => {
        if (!severed) listener(payload)
      }),
  })
  return {
    wrap,
    sever: () => {
      severed = true
    },
  }
}

/** So many accounts as another gateway would tell of them, in parts. */
export async function tellAll(bus: Bus, gateway: string, said: SaidPresence[]): Promise<void> {
  const parts = Math.ceil(said.length / 250)
  for (let part = 0; part < parts; part += 1) {
    const words: PresenceWords = {
      ...{ g: gateway, n: 1, k: 'all', part, parts },
      said: said.slice(part * 250, (part + 1) * 250),
    }
    await bus.publish(subjects.presence, JSON.stringify(words))
  }
}

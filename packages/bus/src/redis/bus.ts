import { answerWithin, currentContext, isTracing, type Logger, newId, validTraceparent } from '@conntext/kernel'
import type { Bus } from '../bus.ts'
import { Listeners } from '../listeners.ts'
import { busMeters } from '../meters.ts'
import { parseAddress } from './address.ts'
import { Announcements } from './announcements.ts'
import { clusterRoute } from './cluster.ts'
import { RedisAway } from './connection.ts'
import { Gaps } from './gaps.ts'
import { singleRoute } from './route.ts'

const CHECK_MS = 1_500

const traceMark = (): string => {
  const traceparent = isTracing() ? currentContext()?.traceparent : undefined
  return traceparent === undefined ? '' : `;${traceparent}`
}

export type RedisBusOptions = {
  /** `redis://…` or `rediss://…`: one server, or several nodes of one cluster. */
  urls: readonly string[]
  /** Instead of one in the addresses. */
  password?: string | undefined
  /** What every channel's name begins with. */
  prefix?: string | undefined
  log: Logger
}

/**
 * The bus between processes, over Redis pub/sub. It connects by itself and for ever; nothing waits for Redis for longer
 * than about a second. What this process could not publish it tells the others of, as a gap, once it can.
 * @throws for an address that is none
 */
export function createRedisBus({ urls, password, prefix = 'conntext:', log }: RedisBusOptions): Bus {
  const addresses = urls.map((url) => parseAddress(url, password))
  if (addresses.length === 0) throw new Error('the bus needs the URL of a Redis')
  const own = newId()
  const inboxOf = (id: string) => `${prefix}bus.inbox.${id}`
  const inbox = inboxOf(own)
  const missed = `${prefix}bus.missed`
  const listeners = new Listeners(log)
  const confirmed = new Map<string, Promise<void>>()
  const announcements = new Announcements(log)
  const gaps = new Gaps(log, () => route.publish(missed, ''))
  const checks = new Map<string, () => void>()
  let closed = false

  /**
   * A message is what was published, after a space; before that stands, of what was announced, to whom to say so, and
   * after a semicolon, of what was published as a part of a trace, of which.
   */
  const receive = (channel: string, text: string): void => {
    if (channel === inbox) hear(text)
    else if (channel === missed) gaps.found()
    else {
      const space = text.indexOf(' ')
      const [mark = '', traceparent] = space > 0 ? text.slice(0, space).split(';') : []
      listeners.deliver(channel.slice(prefix.length), text.slice(space + 1), validTraceparent(traceparent))
      if (mark !== '') acknowledge(mark)
    }
  }
  const hear = (text: string): void => {
    if (text.startsWith('check ')) checks.get(text)?.()
    else announcements.heard(text)
  }
  const acknowledge = (mark: string): void => {
    const [origin = '', id = ''] = mark.split('/')
    if (origin === own) announcements.heard(id, true)
    else route.publish(inboxOf(origin), id).catch(() => {})
  }

  const options = { log, message: receive, gap: () => gaps.found() }
  const route = addresses.length > 1 ? clusterRoute(addresses, options) : singleRoute(addresses[0]!, options)
  const listening = Promise.all([route.want(inbox), route.want(missed)])

  const send = async (subject: string, text: string): Promise<number> => {
    if (closed) throw new RedisAway('the bus is closed')
    try {
      const heard = await route.publish(prefix + subject, text)
      busMeters.published(subject)
      return heard
    } catch (error) {
      busMeters.failed(subject)
      gaps.made()
      throw error
    }
  }

  return {
    async publish(subject, payload) {
      await send(subject, `${traceMark()} ${payload}`)
    },

    announce: (subject, payload) =>
      announcements.make(
        subject,
        async (id) => {
          await listening
          return send(subject, `${own}/${id}${traceMark()} ${payload}`)
        },
        () => listeners.deliver(subject, payload),
      ),

    async subscribe(subject, listener) {
      if (closed) throw new RedisAway('the bus is closed')
      const end = listeners.add(subject, listener)
      if (!confirmed.has(subject)) confirmed.set(subject, route.want(prefix + subject))
      await confirmed.get(subject)
      return async () => {
        if (!end()) return
        confirmed.delete(subject)
        route.forget(prefix + subject)
      }
    },

    onGap(listener) {
      const end = gaps.add(listener)
      return async () => end()
    },

    async check() {
      const { promise, resolve } = Promise.withResolvers<void>()
      const text = `check ${newId()}`
      checks.set(text, resolve)
      try {
        await answerWithin(CHECK_MS, async () => {
          await listening
          route.check()
          if ((await route.publish(inbox, text)) === 0) throw new RedisAway('what is subscribed is not heard now')
          await promise
        })
      } finally {
        checks.delete(text)
      }
    },

    async close() {
      closed = true
      gaps.close()
      announcements.close()
      listeners.clear()
      await route.close()
    },
  }
}

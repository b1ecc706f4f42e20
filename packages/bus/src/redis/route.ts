import type { Logger } from '@conntext/kernel'
import type { Address } from './address.ts'
import { Connection } from './connection.ts'
import { Subscriber } from './subscriber.ts'

/** The way to Redis, be it one server or a cluster. */
export type Route = {
  /** Answers how many have received it. @throws RedisAway */
  publish(channel: string, payload: string): Promise<number>
  /** Resolves when it is heard, or can't be for now; then there is a gap once it is. */
  want(channel: string): Promise<void>
  forget(channel: string): void
  /** @throws where a part of Redis is away */
  check(): void
  close(): Promise<void>
}

export type RouteOptions = {
  log: Logger
  message(channel: string, payload: string): void
  /** Messages may have been missed. All that is wanted is heard again. */
  gap(): void
}

/** One server, over two connections. */
export function singleRoute(address: Address, options: RouteOptions): Route {
  const publisher = new Connection(address, options.log)
  const subscriber = new Subscriber({ ...options, address, sharded: false })
  return {
    publish: (channel, payload) => publisher.ask((redis) => redis.publish(channel, payload)),
    want: (channel) => subscriber.want(channel),
    forget: (channel) => subscriber.forget(channel),
    check() {},
    async close() {
      await Promise.all([publisher.close(), subscriber.close()])
    },
  }
}

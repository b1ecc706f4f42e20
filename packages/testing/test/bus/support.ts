import { type Bus, createRedisBus } from '@conntext/bus'
import { type Logger, silentLogger } from '@conntext/kernel'
import type { Socket } from 'bun'

/** Ends at the end of the test what the test has opened. */
export function tidy() {
  const ends: (() => unknown)[] = []
  return {
    /** A bus as a process of its own has it, which counts its gaps. */
    bus(urls: string[], options: { log?: Logger; password?: string; prefix?: string } = {}): Counting {
      const bus = createRedisBus({ urls, log: silentLogger, ...options })
      const counting = Object.assign(bus, { gaps: 0 })
      bus.onGap(() => {
        counting.gaps += 1
      })
      ends.push(() => bus.close())
      return counting
    },
    add<T>(end: () => T): void {
      ends.push(end)
    },
    async end(): Promise<void> {
      for (const end of ends.splice(0).reverse()) await end()
    },
  }
}

export type Counting = Bus & { gaps: number }

/** What comes, and how to stop it coming. */
export async function listen(bus: Bus, subject: string) {
  const heard: string[] = []
  const end = await bus.subscribe(subject, (payload) => heard.push(payload))
  return { heard, end }
}

/** How long it took, in milliseconds, and whether it failed. */
export async function timed(doing: Promise<unknown>): Promise<{ ms: number; failed: boolean }> {
  const since = performance.now()
  const failed = await doing.then(
    () => false,
    () => true,
  )
  return { ms: performance.now() - since, failed }
}

/** A way to a port that can be cut, as by a network. */
export function startProxy(target: number) {
  type Side = { other?: Socket<Side>; waiting: Uint8Array[] }
  const open = new Set<Socket<Side>>()
  let isCut = false
  const handlers = {
    data(socket: Socket<Side>, bytes: Uint8Array) {
      if (socket.data.other) socket.data.other.write(bytes)
      else socket.data.waiting.push(Uint8Array.from(bytes))
    },
    close(socket: Socket<Side>) {
      open.delete(socket)
      socket.data.other?.end()
    },
    error() {},
  }
  const server = Bun.listen<Side>({
    hostname: '127.0.0.1',
    port: 0,
    socket: {
      ...handlers,
      async open(socket) {
        socket.data = { waiting: [] }
        if (isCut) return void socket.terminate()
        open.add(socket)
        const other = await Bun.connect<Side>({
          hostname: '127.0.0.1',
          port: target,
          data: { other: socket, waiting: [] },
          socket: handlers,
        })
        socket.data.other = other
        for (const bytes of socket.data.waiting.splice(0)) other.write(bytes)
      },
    },
  })
  return {
    url: `redis://127.0.0.1:${server.port}`,
    cut() {
      isCut = true
      for (const socket of open) socket.terminate()
    },
    mend() {
      isCut = false
    },
    stop: () => server.stop(true),
  }
}

/** Somebody who subscribes and never says that they heard anything. */
export async function startDeafSubscriber(port: number, channel: string) {
  const subscribed = Promise.withResolvers<void>()
  const socket = await Bun.connect({
    hostname: '127.0.0.1',
    port,
    socket: {
      data: () => subscribed.resolve(),
      open: (opened) => void opened.write(`SUBSCRIBE ${channel}\r\n`),
    },
  })
  await subscribed.promise
  return () => socket.end()
}

import type { Split } from '@conntext/testing/split'

export type Fault = { name: string; strike(): Promise<void> }

const AWAY_MS = 5_000
const LATER_MS = 1_000

/** What befalls the deployment, one after the other, while everybody goes on. Each is over when `strike` resolves. */
export function faultsOf(split: Split, cutAll: () => void): Fault[] {
  const [gateway] = split.gateways
  const [messaging] = split.messaging
  const killed = async (one: Split['auth']) => {
    await one.kill('SIGKILL')
    await Bun.sleep(LATER_MS)
    await one.start()
  }
  return [
    {
      name: 'Redis is stopped for 5 s',
      async strike() {
        await split.engines.redis.stop()
        await Bun.sleep(AWAY_MS)
        await split.engines.redis.restart()
      },
    },
    { name: 'a gateway is killed', strike: () => killed(gateway!) },
    { name: 'an instance of messaging is killed', strike: () => killed(messaging!) },
    {
      name: 'Postgres is restarted',
      async strike() {
        await split.engines.postgres.stop()
        await split.engines.postgres.start()
      },
    },
    {
      name: 'all sockets are cut',
      async strike() {
        cutAll()
      },
    },
  ]
}

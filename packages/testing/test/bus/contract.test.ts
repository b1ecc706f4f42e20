import { createMemoryBus, createRedisBus } from '@conntext/bus'
import { silentLogger } from '@conntext/kernel'
import { hasRedis, startRedis, startRedisCluster } from '../../src/redis/index.ts'
import { describeBus } from './contract.ts'

const noRedis = !hasRedis()

describeBus('in one process', false, async () => {
  let bus = createMemoryBus(silentLogger)
  return {
    open(log = silentLogger) {
      if (log !== silentLogger) bus = createMemoryBus(log)
      return bus
    },
    close: async () => {},
  }
})

describeBus('over Redis', noRedis, async () => {
  const redis = await startRedis()
  return {
    open: (log = silentLogger) => createRedisBus({ urls: [redis.url], log }),
    close: () => redis[Symbol.asyncDispose](),
  }
})

describeBus('over a cluster of Redis', noRedis, async () => {
  const cluster = await startRedisCluster()
  return {
    open: (log = silentLogger) => createRedisBus({ urls: cluster.urls, log }),
    close: () => cluster[Symbol.asyncDispose](),
  }
})

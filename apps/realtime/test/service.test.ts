import { expect, test } from 'bun:test'
import { createMemoryBus } from '@conntext/bus'
import { isPermission, realtimePort } from '@conntext/contracts'
import { callPort, Guard } from '@conntext/http'
import { silentLogger } from '@conntext/kernel'
import { eventually, testAuthority } from '@conntext/testing'
import { createRealtimeService } from '../src/service.ts'
import { locateWorker, type WorkerLocation } from '../src/worker/locate.ts'
import { fakeMessaging } from './support/messaging.ts'
import { ice, network } from './support/stack.ts'

const missing: WorkerLocation = { kind: 'missing', reason: 'There is no worker here.', remedy: 'Get one.' }

async function startRealtime(locate: () => Promise<WorkerLocation>) {
  const bus = createMemoryBus(silentLogger)
  const authority = await testAuthority(bus)
  const guard = new Guard({ auth: authority.port, bus, log: silentLogger })
  await guard.start()
  const system = { ingestAudit: async () => ({}) }
  const service = createRealtimeService({
    ...{
      log: silentLogger,
      guard,
      bus,
      system,
      messaging: fakeMessaging(bus).port,
      network,
      ice,
      credential: 'credential',
      workers: 1,
      maxParticipants: 20,
      locate,
    },
  })
  await service.start()
  const port = callPort(realtimePort, { transport: service.port.handle, credential: 'credential' })
  return {
    service,
    authority,
    port,
    get: (path: string, token?: string) =>
      service.app.handle(
        new Request(`http://localhost${path}`, token ? { headers: { authorization: `Bearer ${token}` } } : {}),
      ),
    async [Symbol.asyncDispose]() {
      await service.stop()
      await guard.stop()
    },
  }
}

test('without a worker the service runs, and says why voice is off and what to do', async () => {
  await using realtime = await startRealtime(async () => missing)
  const { token } = await realtime.authority.member()
  const off = { state: 'off', reason: missing.reason, remedy: missing.remedy, workers: 0 }
  await eventually(async () => (await realtime.port.voiceStatus({})).reason !== null)
  const response = await realtime.get('/v1/voice/status', token)
  expect(response.status).toBe(200)
  expect(await response.json()).toEqual(off)
  const health = await realtime.port.health({})
  expect(health).toMatchObject({
    service: 'realtime',
    state: 'degraded',
    dependencies: [
      { name: 'mediasoup workers', state: 'down', detail: missing.reason, remedy: missing.remedy },
      { name: 'bus', state: 'up' },
    ],
  })
})

test('the status is for members', async () => {
  await using realtime = await startRealtime(async () => missing)
  const refused = await realtime.get('/v1/voice/status')
  expect(refused.status).toBe(401)
  expect(await refused.json()).toMatchObject({ code: 'access.unauthenticated' })
  expect((await realtime.get('/v1/voice/nothing')).status).toBe(404)
})

test('every route says who may use it, and has its name', async () => {
  await using realtime = await startRealtime(async () => missing)
  for (const { hooks } of realtime.service.app.routes) {
    const { detail } = hooks as { detail: { 'x-permission'?: string; operationId?: string } }
    const permission = detail['x-permission'] ?? ''
    expect(permission === 'public' || permission === 'member' || isPermission(permission)).toBe(true)
    expect(detail.operationId).toBeString()
  }
})

const found = (await locateWorker()).kind === 'found'

test.skipIf(!found)('with a worker voice is on, and health asks the worker itself', async () => {
  await using realtime = await startRealtime(locateWorker)
  await eventually(async () => (await realtime.port.voiceStatus({})).state === 'on')
  expect(await realtime.port.voiceStatus({})).toEqual({ state: 'on', reason: null, remedy: null, workers: 1 })
  expect(await realtime.port.health({})).toMatchObject({ state: 'up' })
})

import { type RealtimePort, VoiceSelfTest } from '@conntext/contracts'
import { type AccessOptions, access } from '@conntext/http'
import type { Clock } from '@conntext/kernel'
import { Elysia } from 'elysia'
import { worst } from './finding.ts'

type Deps = { access: AccessOptions; port: Pick<RealtimePort, 'voiceSelfTest'>; clock: Clock }

export const selfTestRoutes = ({ port, clock, ...deps }: Deps) =>
  new Elysia({ normalize: false, prefix: '/v1/voice' }).use(access(deps.access)).post(
    '/selftest',
    async () => {
      const { nodes } = await port.voiceSelfTest({})
      return { at: clock.now().toISOString(), state: worst(nodes.flatMap(({ findings }) => findings)), nodes }
    },
    {
      can: 'system.view',
      response: { 200: VoiceSelfTest },
      detail: {
        operationId: 'testVoice',
        summary: 'Test whether media gets to the server, and say what is in the way',
        description:
          'Every node asks its own ports, at every address that clients are told, and the relays. It takes some seconds.',
        tags: ['Calls'],
      },
    },
  )

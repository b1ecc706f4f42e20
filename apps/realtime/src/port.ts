import type { RealtimePort, VoicePort } from '@conntext/contracts'
import type { Calls } from './calls/calls.ts'
import { voiceErrors } from './calls/errors.ts'
import { type ModerationDeps, moderate } from './calls/moderation.ts'
import type { Operations } from './calls/operations.ts'
import type { VoiceFigures } from './figures/figures.ts'
import type { Nodes } from './nodes/nodes.ts'
import type { Rings } from './rings/rings.ts'
import type { SelfTest } from './selftest/service.ts'

export type PortDeps = {
  nodeId: string
  nodes: Nodes
  calls: Calls
  operations: Operations
  moderation: ModerationDeps
  rings: Rings
  figures: Pick<VoiceFigures, 'join'>
  selfTest: SelfTest
  /** Whether its calls go on elsewhere, and no new ones begin. */
  isDraining(): boolean
  /** Resolves when the other nodes can know what this one has, as far as that can be. */
  said(): Promise<void>
  now(): number
}

type Signalling = Omit<VoicePort, 'voiceStates' | 'voiceSelfTest'>
type Name = keyof Signalling
type Request = { at?: string; channelId?: string; participant?: { channelId: string; nodeId?: string } }

/**
 * The port's operations of calls: done here where the call is here, else brought to the node that has it. What another
 * node brought goes no further.
 */
export function voicePort(deps: PortDeps): Omit<RealtimePort, 'voiceStatus' | 'health'> {
  const { nodes, calls, nodeId, selfTest } = deps
  const here = localOperations(deps)

  const homeOf = (request: Request, name: Name): string | undefined => {
    // Who has just joined may ask here before it is heard here that they have.
    const joinedAt = request.participant?.nodeId
    if (joinedAt !== undefined && (joinedAt === nodeId || nodes.knows(joinedAt))) return joinedAt
    const channelId = request.channelId ?? request.participant!.channelId
    if (calls.has(channelId)) return undefined
    return nodes.homeOf(channelId) ?? (name === 'voiceJoin' ? nodes.place() : undefined)
  }

  const routed = (name: Name) => async (request: Request) => {
    const local = here[name] as (request: Request) => Promise<unknown>
    if (request.at !== undefined) return local(request)
    const home = homeOf(request, name)
    if (home === undefined || home === nodeId) return local(request)
    const port = nodes.port(home)
    // A second call of the same channel would be worse.
    if (!port) throw voiceErrors.away({ retryAfter: 1 })
    return (port[name] as (request: Request) => Promise<unknown>)({ ...request, at: home! })
  }

  const names = Object.keys(here) as Name[]
  return {
    ...(Object.fromEntries(names.map((name) => [name, routed(name)])) as unknown as Signalling),
    voiceSelfTest: async ({ at }) => ({
      nodes: at === undefined ? await selfTest.everywhere() : [await selfTest.here()],
    }),
    voiceStates: async ({ channelId }) => {
      const states = nodes.board.states()
      return { states: channelId === undefined ? states : states.filter((state) => state.channelId === channelId) }
    },
  }
}

function localOperations(deps: PortDeps): Signalling {
  const { nodeId, calls, operations, moderation, rings, figures, isDraining, said, now } = deps
  const join: Signalling['voiceJoin'] = (request) =>
    figures.join(async () => {
      if (isDraining()) throw voiceErrors.away({ retryAfter: 1 })
      const joined = await calls.join(request)
      // Whoever hears of it and joins next, by whichever node, is to find the call here and not to begin another.
      if (joined.joined.states.length === 1) await said()
      return { ...joined, nodeId }
    })
  const nothing = async (done: Promise<void>) => {
    await done
    return {}
  }
  return {
    voiceJoin: join,
    voiceLeave: (request) => nothing(operations.leave(request)),
    voiceDetach: (request) => nothing(operations.detach(request, now())),
    voiceCreateTransport: (request) => operations.createTransport(request),
    voiceConnectTransport: (request) => nothing(operations.connectTransport(request)),
    voiceProduce: (request) => operations.produce(request),
    voiceConsume: (request) => operations.consume(request),
    voiceResumeConsumer: (request) => nothing(operations.resumeConsumer(request)),
    voiceSetPreferredLayers: (request) => nothing(operations.setPreferredLayers(request)),
    voicePause: (request) => nothing(operations.pause(request)),
    voiceResume: (request) => nothing(operations.resume(request)),
    voiceCloseProducer: (request) => nothing(operations.closeProducer(request)),
    voiceRestartIce: (request) => operations.restartIce(request),
    voiceStats: (request) => operations.stats(request),
    voiceModerate: (request) => nothing(moderate(moderation, request)),
    async voiceDecline({ channelId, userId }) {
      rings.settle(channelId, userId, 'declined')
      return {}
    },
    voiceCall: async ({ channelId }) => ({ call: calls.call(channelId)?.told ?? null }),
  }
}

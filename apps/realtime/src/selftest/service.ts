import type { VoiceFinding, VoicePort } from '@conntext/contracts'
import type { Logger } from '@conntext/kernel'
import type { Nodes } from '../nodes/nodes.ts'
import { fault } from './finding.ts'

type Answer = Awaited<ReturnType<VoicePort['voiceSelfTest']>>
type NodeFindings = Answer['nodes'][number]

export type SelfTestOptions = {
  nodeId: string
  nodes: Nodes
  examine(): Promise<VoiceFinding[]>
  log: Logger
}

/** The self-test of this node, and of all. Of whoever asks while one runs, each gets what that one finds. */
export class SelfTest {
  #running: Promise<VoiceFinding[]> | undefined

  constructor(private readonly options: SelfTestOptions) {}

  async here(): Promise<NodeFindings> {
    this.#running ??= this.options.examine().finally(() => {
      this.#running = undefined
    })
    return { nodeId: this.options.nodeId, findings: await this.#running }
  }

  async everywhere(): Promise<NodeFindings[]> {
    const { nodes, nodeId } = this.options
    const others = nodes.board.nodes().filter(({ id }) => id !== nodeId)
    return Promise.all([this.here(), ...others.map(({ id }) => this.#at(id))])
  }

  async #at(id: string): Promise<NodeFindings> {
    const { nodes, log } = this.options
    const lost = (told: string, remedy: string) => ({ nodeId: id, findings: [fault('node', told, remedy)] })
    const port = nodes.port(id)
    if (!port) return lost('it does not say where it is reached', 'Set CONNTEXT_VOICE_NODE_URL there.')
    try {
      const [found] = (await port.voiceSelfTest({ at: id })).nodes
      return { nodeId: id, findings: found!.findings }
    } catch (error) {
      log.warn({ err: error, node: id }, 'a node could not be asked for its self-test')
      return lost('it is not reached from the other nodes', 'Correct CONNTEXT_VOICE_NODE_URL there, or the network.')
    }
  }
}

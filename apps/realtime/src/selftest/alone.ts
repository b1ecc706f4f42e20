import type { VoiceFinding } from '@conntext/contracts'
import { silentLogger } from '@conntext/kernel'
import { Announced } from '../media/announced.ts'
import { Engine } from '../media/engine.ts'
import type { RealtimeConfig } from '../settings.ts'
import { createWorkerSupervisor } from '../worker/supervisor.ts'
import { examineVoice } from './examine.ts'

const UP_WITHIN_MS = 5_000

/** The self-test where no server runs: with media workers of its own, on the ports that the server would have. */
export async function examineVoiceAlone({ workers, network, ice }: RealtimeConfig): Promise<VoiceFinding[]> {
  const supervisor = createWorkerSupervisor(workers === undefined ? {} : { count: workers })
  const engine = new Engine({ supervisor, network, log: silentLogger })
  const announced = new Announced({ told: network.announced, log: silentLogger })
  engine.start()
  try {
    await supervisor.start()
    const deadline = performance.now() + UP_WITHIN_MS
    const isSettled = () => engine.fault !== undefined || engine.seats().length === supervisor.workers().length
    while (!isSettled() && performance.now() < deadline) await Bun.sleep(20)
    return await examineVoice({ supervisor, engine, network, announced, ice, now: () => new Date() })
  } finally {
    announced.stop()
    engine.stop()
    await supervisor.stop()
  }
}

import { locateWorker } from '@conntext/realtime/worker'
import { type Check, ok, warning } from './finding.ts'

/** Without it there is no voice, and the rest runs. */
export const mediaWorker: Check = {
  about: 'media worker',
  async run() {
    const found = await locateWorker()
    if (found.kind === 'missing') return warning(`voice is off: ${found.reason}`, found.remedy)
    return ok(`${found.path}`)
  },
}

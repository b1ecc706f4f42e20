import { type VoicePort, voiceOperations } from '@conntext/contracts'

/** The realtime port's part of calls, for tests in which nobody makes any. */
export const noCalls = Object.fromEntries(
  Object.keys(voiceOperations).map((name) => [
    name,
    async () => {
      throw new Error('nobody makes calls in this test')
    },
  ]),
) as unknown as VoicePort

import { expect, test } from 'bun:test'
import { authPort, messagingPort, realtimePort, systemPort } from '../src/index.ts'

test('what may be asked twice is asked again where the answer got lost: all but what does something anew each time', () => {
  const ports = [authPort, systemPort, messagingPort, realtimePort]
  const once = ports.flatMap(({ service, operations }) =>
    Object.entries(operations).flatMap(([name, operation]) =>
      'repeatable' in operation && operation.repeatable ? [] : `${service}.${name}`,
    ),
  )
  expect(once).toEqual(['auth.join', 'realtime.voiceProduce', 'realtime.voiceModerate'])
})

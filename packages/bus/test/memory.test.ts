import { expect, test } from 'bun:test'
import { createLogger, silentLogger } from '@conntext/kernel'
import { createMemoryBus } from '../src/index.ts'

test('what is published has reached every listener of the subject, in order, and no other', async () => {
  const bus = createMemoryBus(silentLogger)
  const heard: string[] = []
  await bus.subscribe('a', (payload) => heard.push(`first ${payload}`))
  await bus.subscribe('a', (payload) => heard.push(`second ${payload}`))
  await bus.subscribe('b', (payload) => heard.push(`other ${payload}`))
  await bus.publish('a', '1')
  await bus.publish('a', '2')
  expect(heard).toEqual(['first 1', 'second 1', 'first 2', 'second 2'])
})

test('nobody listening is no error', async () => {
  await createMemoryBus(silentLogger).publish('a', '1')
})

test('a listener that throws is logged and harms nobody else', async () => {
  const lines: string[] = []
  const bus = createMemoryBus(createLogger({ service: 'test', level: 'debug', write: (line) => lines.push(line) }))
  const heard: string[] = []
  await bus.subscribe('a', () => {
    throw new Error('broken')
  })
  await bus.subscribe('a', (payload) => heard.push(payload))
  await bus.publish('a', '1')
  expect(heard).toEqual(['1'])
  expect(lines.join()).toContain('broken')
})

test('one function subscribed twice is two subscriptions, each ended by itself', async () => {
  const bus = createMemoryBus(silentLogger)
  const heard: string[] = []
  const listener = (payload: string) => heard.push(payload)
  const endOne = await bus.subscribe('a', listener)
  const endOther = await bus.subscribe('a', listener)
  await bus.publish('a', '1')
  expect(heard).toEqual(['1', '1'])
  await endOne()
  await endOne()
  await bus.publish('a', '2')
  expect(heard).toEqual(['1', '1', '2'])
  await endOther()
  await bus.publish('a', '3')
  expect(heard).toEqual(['1', '1', '2'])
})

test('a subscription that ended late does not take a newer one with it', async () => {
  const bus = createMemoryBus(silentLogger)
  const heard: string[] = []
  const end = await bus.subscribe('a', () => {})
  await end()
  await bus.subscribe('a', (payload) => heard.push(payload))
  await end()
  await bus.publish('a', '1')
  expect(heard).toEqual(['1'])
})

test('who is subscribed or unsubscribed while a message is delivered counts from the next one', async () => {
  const bus = createMemoryBus(silentLogger)
  const heard: string[] = []
  await bus.subscribe('a', (payload) => {
    if (payload === '1') void bus.subscribe('a', (later) => heard.push(later))
  })
  await bus.publish('a', '1')
  expect(heard).toEqual([])
  await bus.publish('a', '2')
  expect(heard).toEqual(['2'])
})

test('a listener that has unsubscribed is not called any more, even by the message that is being delivered', async () => {
  const bus = createMemoryBus(silentLogger)
  const heard: string[] = []
  const ending: { end?: () => Promise<void> } = {}
  await bus.subscribe('a', () => void ending.end?.())
  ending.end = await bus.subscribe('a', (payload) => heard.push(payload))
  await bus.publish('a', '1')
  expect(heard).toEqual([])
})

test('after the end nothing is delivered', async () => {
  const bus = createMemoryBus(silentLogger)
  const heard: string[] = []
  await bus.subscribe('a', (payload) => heard.push(payload))
  await bus.close()
  await bus.publish('a', '1')
  expect(heard).toEqual([])
})

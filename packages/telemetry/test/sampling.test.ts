import { afterAll, afterEach, beforeEach, expect, test } from 'bun:test'
import { beginSpan } from '@conntext/kernel'
import { exportTraces } from '../src/traces.ts'

const exported: string[] = []
const collector = Bun.serve({
  port: 0,
  async fetch(request) {
    exported.push(...JSON.stringify(await request.json()).match(/"name":"[^"]+","kind/g)!)
    return Response.json({})
  },
})
afterAll(() => collector.stop(true))

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const FROM_OUTSIDE = `00-${TRACE}-b7ad6b7169203331-01`

let end = async () => {}
const keep = (ratio: number) => {
  end = exportTraces({ url: collector.url.href, ratio, service: 'server', version: '0', instance: 'test' })
}
beforeEach(() => exported.splice(0))
afterEach(() => end())

const root = (parent?: string) => beginSpan('gateway', { kind: 'server', root: true, parent })

test('a trace that is kept is exported, and what another service begins below it, too', async () => {
  keep(1)
  const span = root(FROM_OUTSIDE)!
  expect(span.traceparent).toMatch(new RegExp(`^00-${TRACE}-(?!b7ad6b7169203331)[0-9a-f]{16}-01$`))
  beginSpan('operation', { kind: 'server', parent: span.traceparent })!.end()
  span.end()
  await end()
  expect(exported).toHaveLength(2)
})

test('a trace that is not kept is none: nothing below it is made either', async () => {
  keep(0)
  expect(root()).toBeUndefined()
  expect(beginSpan('select', { kind: 'client' })).toBeUndefined()
  await end()
  expect(exported).toEqual([])
})

test('a client’s trace that is not kept here is passed on as one that nobody is to keep', async () => {
  keep(0)
  const span = root(FROM_OUTSIDE)!
  expect(span.traceparent).toBe(`00-${TRACE}-b7ad6b7169203331-00`)
  expect(beginSpan('operation', { kind: 'server', parent: span.traceparent })).toBeUndefined()
  span.end()
  await end()
  expect(exported).toEqual([])
})

test('a client that doesn’t want its trace kept is left alone', async () => {
  keep(1)
  const span = root(FROM_OUTSIDE.replace(/01$/, '00'))!
  expect(span.traceparent).toEndWith('-00')
  span.end()
  await end()
  expect(exported).toEqual([])
})

test('of many traces as many are kept as the ratio says, whoever began them', () => {
  keep(0.25)
  const count = 4_000
  const kept = (begin: () => ReturnType<typeof root>) =>
    Array.from({ length: count }, begin).filter((span) => span?.traceparent.endsWith('-01')).length / count
  const random = () => crypto.randomUUID().replaceAll('-', '')
  expect(kept(() => root())).toBeWithin(0.2, 0.3)
  expect(kept(() => root(FROM_OUTSIDE.replace(TRACE, random())))).toBeWithin(0.2, 0.3)
})

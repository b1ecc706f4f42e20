import { expect, test } from 'bun:test'
import { createMemoryBus } from '@conntext/bus'
import { decodeNews, subjects } from '@conntext/contracts'
import { silentLogger } from '@conntext/kernel'
import { Publication } from '../src/streams/publication.ts'

const event = (stream: string, seq: number) => ({ stream, seq, frame: `${stream} ${seq}` })

async function fixture() {
  const bus = createMemoryBus(silentLogger)
  const heard: string[] = []
  for (const stream of ['a', 'b']) {
    await bus.subscribe(subjects.stream(stream), (news) => heard.push(decodeNews(news).frame))
  }
  return { publication: new Publication(bus, silentLogger), heard }
}

test('a turn that is over early waits for the ones before it, in its own streams alone', async () => {
  const { publication, heard } = await fixture()
  const first = publication.takeTurn(['a'])
  const second = publication.takeTurn(['a', 'b'])
  const third = publication.takeTurn(['b'])
  third.publish([event('b', 2)])
  second.publish([event('a', 2), event('b', 1)])
  expect(heard).toEqual(['b 1', 'b 2'])
  first.publish([event('a', 1)])
  expect(heard).toEqual(['b 1', 'b 2', 'a 1', 'a 2'])
})

test('a turn that is forgone lets the next ones pass', async () => {
  const { publication, heard } = await fixture()
  const lost = publication.takeTurn(['a'])
  publication.takeTurn(['a']).publish([event('a', 1)])
  expect(heard).toEqual([])
  lost.forgo()
  expect(heard).toEqual(['a 1'])
})

test('a bus that is away fails nobody, and does not stop what follows', async () => {
  const sent: string[] = []
  const bus = createMemoryBus(silentLogger)
  bus.publish = async (_, payload) => {
    sent.push(payload)
    throw new Error('away')
  }
  const publication = new Publication(bus, silentLogger)
  publication.takeTurn(['a']).publish([event('a', 1), event('a', 2)])
  await publication.settled()
  publication.takeTurn(['a']).publish([event('a', 3)])
  await publication.settled()
  expect(sent).toEqual(['1 a 1', '2 a 2', '3 a 3'])
})

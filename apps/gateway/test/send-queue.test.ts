import { expect, test } from 'bun:test'
import type { SendFrame } from '../src/sockets/connection.ts'
import { SendQueue } from '../src/sockets/send-queue.ts'

const say = (channelId: string, content: string, mediaIds?: string[]): SendFrame => ({
  op: 'message.send',
  channelId,
  content,
  ...(mediaIds && { mediaIds }),
})

/** Calls that are answered when the test says so. */
function calls() {
  const under: { words: string; answer(): void }[] = []
  const made: string[] = []
  const ship = (frames: SendFrame[]) => {
    const words = frames.map(({ content }) => content).join(' ')
    made.push(words)
    const { promise, resolve } = Promise.withResolvers<void>()
    under.push({ words, answer: resolve })
    return promise
  }
  const answer = async (words: string) => {
    under.find((one) => one.words === words)!.answer()
    await Bun.sleep(1)
  }
  return { made, ship, answer }
}

test('what comes in one piece, and what comes while a call is under way, goes together and in order', async () => {
  const { made, ship, answer } = calls()
  const queue = new SendQueue()
  for (const content of ['1', '2', '3']) queue.add(say('a', content), ship)
  await Bun.sleep(1)
  expect(made).toEqual(['1 2 3'])
  for (const content of ['4', '5']) queue.add(say('b', content), ship)
  await Bun.sleep(1)
  expect([made, queue.length]).toEqual([['1 2 3'], 2])
  await answer('1 2 3')
  expect([made, queue.length]).toEqual([['1 2 3', '4 5'], 0])
})

test('a message with files holds up what follows in its channel, and no other', async () => {
  const { made, ship, answer } = calls()
  const queue = new SendQueue()
  queue.add(say('a', 'before'), ship)
  queue.add(say('a', 'picture', ['file']), ship)
  queue.add(say('a', 'after'), ship)
  queue.add(say('b', 'other'), ship)
  await Bun.sleep(1)
  // Not before what was said before it.
  expect(made).toEqual(['before'])
  await answer('before')
  expect(made).toEqual(['before', 'picture', 'other'])
  await answer('other')
  queue.add(say('a', 'last', ['file']), ship)
  queue.add(say('b', 'another'), ship)
  await Bun.sleep(1)
  expect(made).toEqual(['before', 'picture', 'other', 'another'])
  expect(queue.length).toBe(2)
  await answer('picture')
  expect(made.at(-1)).toBe('after last')
  await answer('another')
  await answer('after last')
  queue.add(say('a', 'later'), ship)
  await Bun.sleep(1)
  expect([made.at(-1), queue.length]).toEqual(['later', 0])
})

import { describe, expect, test } from 'bun:test'
import { Slots, type Turn } from '../src/passwords/slots.ts'

/** Slots whose work the test ends: `begun` are who runs or has run, in order. */
function slotsOf(limits: { concurrency: number; queue: number }) {
  const slots = new Slots(limits)
  const begun: string[] = []
  const refused: string[] = []
  const ends = new Map<string, () => void>()
  const ask = (name: string, turn?: Turn) =>
    slots
      .run(() => {
        begun.push(name)
        return new Promise<void>((resolve) => ends.set(name, resolve))
      }, turn)
      .catch(({ code }: { code: string }) => refused.push(`${name}: ${code}`))
  const settled = () => new Promise((resolve) => setImmediate(resolve))
  return {
    ...{ slots, begun, refused, ask, settled },
    /** Ends one after the other until nobody runs any more. */
    async finish() {
      await settled()
      for (let i = 0; i < begun.length; i += 1) {
        ends.get(begun[i]!)!()
        await settled()
      }
    },
  }
}

const from = (place: string, handicapMs = 0): Turn => ({ from: place, handicapMs })

describe('who waits for a slot', () => {
  test('comes in order where nothing is held against anybody', async () => {
    const { ask, begun, finish } = slotsOf({ concurrency: 1, queue: 10 })
    for (const name of ['a', 'b', 'c']) ask(name, from(name))
    await finish()
    expect(begun).toEqual(['a', 'b', 'c'])
  })

  test('comes before a crowd that comes from one place', async () => {
    const { ask, begun, finish } = slotsOf({ concurrency: 1, queue: 100 })
    for (let i = 0; i < 20; i += 1) ask(`crowd ${i}`, from('crowd'))
    ask('ann', from('home'))
    await finish()
    // One runs, and one came before her.
    expect(begun.indexOf('ann')).toBe(2)
    expect(begun).toHaveLength(21)
  })

  test('comes before those who have failed, and sooner still where they are known', async () => {
    const { ask, begun, finish } = slotsOf({ concurrency: 1, queue: 100 })
    ask('running')
    for (let i = 0; i < 20; i += 1) ask(`guesser ${i}`, from(`${i}`, 3_000))
    ask('ann', from('home'))
    ask('known', from('work', -10_000))
    await finish()
    expect(begun.slice(0, 4)).toEqual(['running', 'known', 'ann', 'guesser 0'])
  })

  test('is not refused because a crowd has filled the queue: the last of the crowd is', async () => {
    const { ask, begun, refused, finish, settled } = slotsOf({ concurrency: 1, queue: 5 })
    for (let i = 0; i < 6; i += 1) ask(`crowd ${i}`, from('crowd', 1_000))
    ask('ann', from('home'))
    await settled()
    expect(refused).toEqual(['crowd 5: password.busy'])
    ask('late', from('crowd', 1_000))
    await settled()
    expect(refused).toEqual(['crowd 5: password.busy', 'late: password.busy'])
    await finish()
    expect(begun.slice(0, 2)).toEqual(['crowd 0', 'ann'])
    expect(begun).toHaveLength(6)
  })

  test('finds a slot free where nothing is held against them, however many guess', async () => {
    const { ask, begun, slots, finish } = slotsOf({ concurrency: 2, queue: 10 })
    for (let i = 0; i < 5; i += 1) ask(`guesser ${i}`, from(`${i}`, 1_000))
    expect(begun).toEqual(['guesser 0'])
    expect(slots.isFull).toBe(false)
    ask('ann', from('home'))
    expect(begun).toEqual(['guesser 0', 'ann'])
    expect(slots.isFull).toBe(true)
    await finish()
    expect(begun).toHaveLength(6)
  })
})

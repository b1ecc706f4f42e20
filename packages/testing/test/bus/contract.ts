import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { Bus } from '@conntext/bus'
import { createLogger, silentLogger } from '@conntext/kernel'
import { eventually } from '../../src/poll.ts'

export type Transport = {
  /** A bus of its own, as a process has one; where there is but one process, the same to everybody who asks. */
  open(log?: typeof silentLogger): Bus
  close(): Promise<void>
}

let next = 0
/** Tests share a Redis, and no subject. */
export const newSubject = (): string => `subject.${next++}`

/** What holds for every bus. Delivery may take a moment; what must not come is looked for behind what must. */
export function describeBus(name: string, skip: boolean, start: () => Promise<Transport>): void {
  describe.skipIf(skip)(`the bus ${name}`, () => {
    let transport: Transport
    const buses: Bus[] = []
    const open = (log = silentLogger) => {
      const bus = transport.open(log)
      buses.push(bus)
      return bus
    }
    beforeAll(async () => {
      transport = await start()
    }, 60_000)
    afterAll(async () => {
      for (const bus of buses) await bus.close()
      await transport?.close()
    })

    const heardOn = async (bus: Bus, subject: string) => {
      const heard: string[] = []
      const end = await bus.subscribe(subject, (payload) => heard.push(payload))
      return { heard, end }
    }

    test('what is published reaches every listener of the subject, in order, and no other', async () => {
      const [one, other] = [open(), open()]
      const [subject, elsewhere] = [newSubject(), newSubject()]
      const heard: string[] = []
      await one.subscribe(subject, (payload) => heard.push(`first ${payload}`))
      await one.subscribe(subject, (payload) => heard.push(`second ${payload}`))
      const far = await heardOn(other, subject)
      const none = await heardOn(other, elsewhere)
      await one.publish(subject, '1')
      await other.publish(subject, '2')
      await eventually(() => heard.length === 4 && far.heard.length === 2)
      expect(heard).toEqual(['first 1', 'second 1', 'first 2', 'second 2'])
      expect(far.heard).toEqual(['1', '2'])
      expect(none.heard).toEqual([])
    })

    test('what is published right after subscribing is heard, by any process', async () => {
      const [one, other] = [open(), open()]
      for (let round = 0; round < 20; round += 1) {
        const subject = newSubject()
        const { heard } = await heardOn(one, subject)
        await other.publish(subject, 'at once')
        await eventually(() => heard.length === 1)
      }
    })

    test('nobody listening is no error', async () => {
      const bus = open()
      await bus.publish(newSubject(), '1')
      await bus.announce(newSubject(), '1')
    })

    test('many at once from one publisher keep their order', async () => {
      const [one, other] = [open(), open()]
      const subject = newSubject()
      const { heard } = await heardOn(other, subject)
      const sent = Array.from({ length: 2_000 }, (_, index) => String(index))
      await Promise.all(sent.map((payload) => one.publish(subject, payload)))
      await eventually(() => heard.length === sent.length)
      expect(heard).toEqual(sent)
    })

    test('a payload comes as it was, be it empty, large, or of any characters', async () => {
      const [one, other] = [open(), open()]
      const subject = newSubject()
      const { heard } = await heardOn(other, subject)
      const payloads = ['', ' ', 'a b', '\0\r\n', '💬 žluťoučký', 'x'.repeat(512 * 1024), '7/1 like a mark']
      for (const payload of payloads) await one.publish(subject, payload)
      for (const payload of payloads) await one.announce(subject, payload)
      await eventually(() => heard.length === 2 * payloads.length)
      expect(heard).toEqual([...payloads, ...payloads])
    })

    test('a listener that throws is logged and harms nobody else', async () => {
      const lines: string[] = []
      const bus = open(createLogger({ service: 'test', level: 'debug', write: (line) => lines.push(line) }))
      const subject = newSubject()
      await bus.subscribe(subject, () => {
        throw new Error('broken')
      })
      const { heard } = await heardOn(bus, subject)
      await bus.announce(subject, '1')
      await bus.announce(subject, '2')
      expect(heard).toEqual(['1', '2'])
      expect(lines.join()).toContain('broken')
    })

    test('one function subscribed twice is two subscriptions, each ended by itself', async () => {
      const bus = open()
      const subject = newSubject()
      const heard: string[] = []
      const listener = (payload: string) => heard.push(payload)
      const endOne = await bus.subscribe(subject, listener)
      const endOther = await bus.subscribe(subject, listener)
      await bus.announce(subject, '1')
      expect(heard).toEqual(['1', '1'])
      await endOne()
      await endOne()
      await bus.announce(subject, '2')
      expect(heard).toEqual(['1', '1', '2'])
      await endOther()
      await bus.announce(subject, '3')
      expect(heard).toEqual(['1', '1', '2'])
    })

    test('a subscription that ended late does not take a newer one with it', async () => {
      const bus = open()
      const subject = newSubject()
      const end = await bus.subscribe(subject, () => {})
      await end()
      const { heard } = await heardOn(bus, subject)
      await end()
      await bus.announce(subject, '1')
      expect(heard).toEqual(['1'])
    })

    test('however subscribing and ending interleave, whoever is subscribed at the end hears', async () => {
      const [bus, far] = [open(), open()]
      const subject = newSubject()
      for (let round = 0; round < 30; round += 1) {
        const ends = await Promise.all(Array.from({ length: 3 }, () => bus.subscribe(subject, () => {})))
        const ending = ends.map((end) => end())
        if (round % 3 === 0) await Promise.all(ending)
        if (round % 2 === 0) await Bun.sleep(0)
        const { heard, end } = await heardOn(bus, subject)
        await far.announce(subject, String(round))
        expect(heard).toEqual([String(round)])
        void end()
      }
    })

    test('who is subscribed while a message is delivered counts from the next one', async () => {
      const bus = open()
      const subject = newSubject()
      const heard: string[] = []
      await bus.subscribe(subject, (payload) => {
        if (payload === '1') void bus.subscribe(subject, (later) => heard.push(later))
      })
      await bus.announce(subject, '1')
      expect(heard).toEqual([])
      await bus.announce(subject, '2')
      expect(heard).toEqual(['2'])
    })

    test('a listener that has unsubscribed is not called any more, even by the message that is being delivered', async () => {
      const bus = open()
      const subject = newSubject()
      const ending: { end?: () => Promise<void> } = {}
      await bus.subscribe(subject, () => void ending.end?.())
      const { heard, end } = await heardOn(bus, subject)
      ending.end = end
      await bus.announce(subject, '1')
      expect(heard).toEqual([])
    })

    test('when an announcement resolves, every process has called its listeners, once', async () => {
      const buses = [open(), open(), open()]
      const subject = newSubject()
      const heard: string[] = []
      for (const [index, bus] of buses.entries()) await bus.subscribe(subject, (what) => heard.push(`${index} ${what}`))
      for (let round = 0; round < 50; round += 1) {
        heard.length = 0
        await buses[round % 3]!.announce(subject, String(round))
        expect(heard.sort()).toEqual([`0 ${round}`, `1 ${round}`, `2 ${round}`])
      }
    })

    test('announcements at once don’t take each other’s acknowledgements', async () => {
      const [one, other] = [open(), open()]
      const subject = newSubject()
      const { heard } = await heardOn(other, subject)
      await Promise.all(
        Array.from({ length: 200 }, async (_, index) => {
          await one.announce(subject, String(index))
          expect(heard).toContain(String(index))
        }),
      )
    })

    test('a thousand subjects are subscribed at once, and each hears its own', async () => {
      const [one, other] = [open(), open()]
      const heard: string[] = []
      const subjects = Array.from({ length: 1_000 }, newSubject)
      await Promise.all(subjects.map((subject) => one.subscribe(subject, (payload) => heard.push(payload))))
      await Promise.all(subjects.map((subject) => other.publish(subject, subject)))
      await eventually(() => heard.length === subjects.length)
      expect(heard.sort()).toEqual(subjects.sort())
    })

    test('it says that messages go through', async () => {
      const bus = open()
      await eventually(() => bus.check().then(() => true))
      await Promise.all([bus.check(), bus.check()])
    })

    test('after the end nothing is delivered', async () => {
      const [bus, far] = [transport.open(), open()]
      const subject = newSubject()
      const { heard } = await heardOn(bus, subject)
      await bus.close()
      await far.publish(subject, '1')
      expect(heard).toEqual([])
    })
  })
}

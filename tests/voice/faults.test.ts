import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { eventually } from '@conntext/testing'
import { chromiumPath } from '@conntext/testing/browser'
import { canSplit, type Split, type SplitProcess, startSplit } from '@conntext/testing/split'
import { beginCall, framesOf, happened, hears, leaveAll, meet, seesMore } from './looks.ts'
import { type Player, type Stage, setStage, VOICE_SETTINGS } from './stage.ts'

const path = chromiumPath()
const possible = path !== undefined && (await canSplit())
if (path === undefined) console.log('No Chromium: calls are not tried in it. CONNTEXT_TEST_CHROMIUM names one.')

/** What becomes of a call when a process of the split deployment dies under it. */
describe.skipIf(!possible)('a call', () => {
  let split: Split
  let stage: Stage
  let ada: Player
  let ben: Player

  beforeAll(async () => {
    split = await startSplit({ env: VOICE_SETTINGS, messaging: 1 })
    const [one, other] = split.urls as [string, string]
    // Of one gateway each, and when that is gone of the other.
    stage = await setStage(other, path!)
    ada = await stage.enter('ada', { gateways: [one, other] })
    ben = await stage.enter('ben', { gateways: [other, one] })
  }, 180_000)

  afterEach(() => leaveAll([ada, ben]))

  afterAll(async () => {
    await stage?.[Symbol.asyncDispose]()
    await split?.[Symbol.asyncDispose]()
  }, 60_000)

  const call = (name: string) => beginCall(stage, [ada, ben], name)

  test('goes on while a gateway is killed, and its people come back by another one unnoticed', async () => {
    await call('hall')
    const [gateway] = split.gateways
    const producersBefore = (await ben.state()).producers
    await gateway!.kill('SIGKILL')
    await eventually(
      async () => (await ada.state()).state === 'interrupted' || (await happened(ada, 'recovered')).length > 0,
    )
    await seesMore(ben, ada)
    await eventually(async () => (await happened(ada, 'recovered')).at(-1) === 'true')
    await hears(ada, { [ben.userId]: 700 })
    await hears(ben, { [ada.userId]: 400 })
    expect((await ben.state()).producers).toEqual(producersBefore)
    expect(await happened(ben, 'interrupted')).toEqual([])
    // Signalling works again, both ways.
    await ada.mute(true)
    await hears(ben, { [ada.userId]: 0 })
    await ben.stopSending('microphone')
    await eventually(async () => (await ada.state()).producers.length === 0)
    await gateway!.start()
  }, 90_000)

  test('goes on while there is no gateway at all', async () => {
    await call('cave')
    await Promise.all(split.gateways.map((one) => one.kill('SIGKILL')))
    await eventually(
      async () => (await ada.state()).state === 'interrupted' && (await ben.state()).state === 'interrupted',
    )
    await seesMore(ben, ada, 10)
    await hears(ben, { [ada.userId]: 400 })
    const frames = await framesOf(ben, ada)
    await Promise.all(split.gateways.map((one) => one.start()))
    for (const one of [ada, ben]) await eventually(async () => (await one.state()).state === 'joined')
    for (const one of [ada, ben]) expect((await happened(one, 'recovered')).at(-1)).toBe('true')
    // Not begun anew: the same stream has gone on.
    expect(await framesOf(ben, ada)).toBeGreaterThan(frames)
    await ada.stopSending('camera')
    await eventually(async () => Object.keys(await ben.seen()).length === 0)
  }, 90_000)

  test('begins anew when the node that has it is killed, with all that was sent', async () => {
    await call('isle')
    const before = (await happened(ada, 'recovered')).length
    await split.realtime.kill('SIGKILL')
    await eventually(async () => (await happened(ada, 'interrupted')).at(-1) === 'false')
    await split.realtime.start()
    await eventually(async () => (await happened(ada, 'recovered')).length > before)
    expect((await happened(ada, 'recovered'))[before]).toBe('false')
    await hears(ben, { [ada.userId]: 400 })
    await hears(ada, { [ben.userId]: 700 })
    await seesMore(ben, ada, 1)
  }, 90_000)

  test('is left by a node that is stopped in order, and goes on when there is another', async () => {
    await call('reef')
    await split.realtime.kill('SIGTERM')
    await eventually(
      async () => (await ada.state()).state === 'interrupted' && (await ben.state()).state === 'interrupted',
    )
    await split.realtime.start()
    await hears(ben, { [ada.userId]: 400 })
    await hears(ada, { [ben.userId]: 700 })
    await seesMore(ben, ada, 1)
  }, 90_000)
})

/** A machine that others use as well has its share of this. */
const SECONDS = process.env.CI ? 45 : 15

/** What becomes of a call when the node that has it goes, and there is another one. */
describe.skipIf(!possible)('a call that two nodes could have', () => {
  let split: Split
  let stage: Stage
  let people: [Player, Player]

  beforeAll(async () => {
    split = await startSplit({ env: VOICE_SETTINGS, messaging: 1, gateways: 1, realtime: 2 })
    stage = await setStage(split.urls[0]!, path!)
    people = [await stage.enter('ada'), await stage.enter('ben')]
  }, 180_000)

  afterEach(() => leaveAll(people))

  afterAll(async () => {
    await stage?.[Symbol.asyncDispose]()
    await split?.[Symbol.asyncDispose]()
  }, 60_000)

  /** The node that has the one call that there is. */
  const homeOfCall = (): Promise<SplitProcess> =>
    eventually(async () => {
      const nodes = split.processes.filter(({ name }) => name.startsWith('realtime'))
      const authorization = `Bearer ${split.operatorEnv.CONNTEXT_SERVICE_CREDENTIAL}`
      for (const node of nodes) {
        const figures = await fetch(`${node.url}/metrics`, { headers: { authorization } }).catch(() => undefined)
        if ((await figures?.text())?.includes('conntext_voice_calls 1\n')) return node
      }
      return undefined
    })

  const recoveries = () => Promise.all(people.map((one) => happened(one, 'recovered')))

  test.each([
    ['is told to end', 'SIGTERM', 0],
    ['is killed', 'SIGKILL', null],
  ] as const)(
    'goes on at the other one within seconds when the one that has it %s',
    async (_, signal, code) => {
      await beginCall(stage, people, signal.toLowerCase())
      const before = await recoveries()
      const home = await homeOfCall()
      const began = performance.now()
      const ended = home.kill(signal)
      // Nobody is let in anew before what they had of the one before is gone.
      await eventually(
        async () => (await recoveries()).every((each, index) => each.length > before[index]!.length),
        SECONDS * 1_000,
      )
      await meet(people)
      const seconds = (performance.now() - began) / 1_000
      console.log(`  heard and seen again ${seconds.toFixed(1)} s after ${signal}`)
      expect(seconds).toBeLessThan(SECONDS)
      // The call begins anew. Who was interrupted once more, in what they had come into, has gone on with that.
      const since = (await recoveries()).map((each, index) => each.slice(before[index]!.length))
      expect(since.map(([first]) => first)).toEqual(['false', 'false'])
      expect((await homeOfCall()).name).not.toBe(home.name)
      expect(await ended).toBe(code)
      await home.start()
    },
    90_000,
  )
})

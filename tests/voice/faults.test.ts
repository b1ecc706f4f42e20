import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { eventually } from '@conntext/testing'
import { canSplit, type Split, startSplit } from '@conntext/testing/split'
import { chromiumPath } from '../browser/chromium.ts'
import { framesOf, happened, hears, leaveAll, seesMore } from './looks.ts'
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

  async function call(name: string): Promise<string> {
    const channelId = await stage.channel(name)
    await Promise.all([ada, ben].map((one) => one.join(channelId)))
    await Promise.all([ada.speak(400), ben.speak(700), ada.showCamera({ width: 160, height: 120 })])
    await hears(ben, { [ada.userId]: 400 })
    await hears(ada, { [ben.userId]: 700 })
    await seesMore(ben, ada)
    return channelId
  }

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
    for (const one of [ada, ben]) await eventually(async () => (await one.state()).state === 'joined', 20_000)
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
    await eventually(async () => (await happened(ada, 'interrupted')).at(-1) === 'false', 20_000)
    await split.realtime.start()
    await eventually(async () => (await happened(ada, 'recovered')).length > before, 20_000)
    expect((await happened(ada, 'recovered')).at(-1)).toBe('false')
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

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { type Deployment, eventually, startDeployment } from '@conntext/testing'
import { chromiumPath } from '@conntext/testing/browser'
import { framesOf, hears, isTold, leaveAll, sees } from './looks.ts'
import { type Player, type Stage, setStage, VOICE_SETTINGS } from './stage.ts'

const path = chromiumPath()
if (path === undefined) console.log('No Chromium: calls are not tried in it. CONNTEXT_TEST_CHROMIUM names one.')

const TONES = [400, 700, 1_000, 1_300]
/** Calls as people have them: in real browsers, with what a browser plays for a camera, a microphone and a screen. */
describe.skipIf(path === undefined)('calls in a browser', () => {
  let server: Deployment
  let stage: Stage
  let people: Player[]

  beforeAll(async () => {
    server = await startDeployment(VOICE_SETTINGS)
    stage = await setStage(server.url, path!)
    people = await Promise.all(['ada', 'ben', 'cleo', 'dan'].map((name) => stage.enter(name)))
  }, 120_000)

  afterEach(() => leaveAll(people))

  afterAll(async () => {
    await stage?.[Symbol.asyncDispose]()
    await server?.[Symbol.asyncDispose]()
  }, 60_000)

  const some = <N extends number>(_: N) => people as [Player, Player, Player, Player]

  test('two people hear one another, and see what the other camera shows', async () => {
    const channelId = await stage.channel('hall')
    const [ada, ben, cleo] = some(2)
    await ada.join(channelId)
    await Promise.all([ada.speak(400), ada.showCamera()])
    // Who is in none sees who is.
    await eventually(async () =>
      (await cleo.state()).states.some(({ userId, camera }) => userId === ada.userId && camera),
    )
    await ben.join(channelId)
    await Promise.all([ben.speak(700), ben.showCamera()])
    await hears(ada, { [ben.userId]: 700 })
    await hears(ben, { [ada.userId]: 400 })
    for (const [one, other] of [
      [ada, ben],
      [ben, ada],
    ] as const) {
      await eventually(async () => (await framesOf(one, other)) > 5, 20_000)
      const { ground, bright } = await one.recognise(await one.page.screenshot(), other.userId)
      expect({ ground: ground > 0.6, bright: bright > 0.01 && bright < 0.3 }).toEqual({ ground: true, bright: true })
    }
    expect(await ada.ways()).toEqual([
      { protocol: 'udp', type: 'host' },
      { protocol: 'udp', type: 'host' },
    ])
    const { streams } = await ada.serverStats()
    expect(streams.filter((one) => (one.packets ?? 0) > 0).map(({ of, kind }) => `${of} ${kind}`)).toContain(
      'producer audio',
    )
  }, 60_000)

  test('each of four people hears the three others, and all know who is there and who is heard', async () => {
    const channelId = await stage.channel('table')
    const everybody = people.map(({ userId }) => userId).sort()
    await Promise.all(people.map((one) => one.join(channelId)))
    await Promise.all(people.map((one, index) => one.speak(TONES[index]!)))
    await Promise.all(people.map((one) => one.showCamera({ width: 160, height: 120 })))
    for (const one of people) {
      const others = people.filter((other) => other !== one)
      await hears(one, Object.fromEntries(others.map(({ userId }) => [userId, TONES[indexOf(userId)]!])))
      for (const other of others) await eventually(async () => (await framesOf(one, other)) > 0, 20_000)
      await eventually(async () => {
        const states = (await one.state()).states.filter((state) => state.channelId === channelId)
        return Bun.deepEquals(states.map(({ userId }) => userId).sort(), everybody)
      })
    }
    await eventually(async () => Bun.deepEquals([...(await people[0]!.state()).speakers].sort(), everybody))
  }, 60_000)

  const indexOf = (userId: string) => people.findIndex((one) => one.userId === userId)

  test('who is muted is not heard, which all know, and is heard again afterwards', async () => {
    const channelId = await stage.channel('library')
    const [ada, ben, cleo] = some(3)
    await Promise.all([ada, ben].map((one) => one.join(channelId)))
    await ada.speak(400)
    await hears(ben, { [ada.userId]: 400 })
    await ada.mute(true)
    await hears(ben, { [ada.userId]: 0 })
    const isMuted = async (one: Player) =>
      (await one.state()).states.find(({ userId }) => userId === ada.userId)?.selfMuted
    await eventually(async () => (await isMuted(ben)) && (await isMuted(cleo)))
    await isTold(ben, [{ userId: ada.userId, source: 'microphone', paused: true }])
    await ada.mute(false)
    await hears(ben, { [ada.userId]: 400 })
    await eventually(async () => (await isMuted(cleo)) === false)
  }, 60_000)

  test('a screen is shared with its sound, beside the camera, and is over when it is stopped', async () => {
    const channelId = await stage.channel('stage')
    const [ada, ben] = some(2)
    await Promise.all([ada, ben].map((one) => one.join(channelId)))
    await ada.showCamera({ width: 160, height: 120 })
    expect(await ada.shareScreen()).toEqual({ audio: true })
    await eventually(async () => (await framesOf(ben, ada, 'screen')) > 3, 20_000)
    await eventually(async () => (await framesOf(ben, ada, 'camera')) > 3, 20_000)
    const widths = [await ben.seen('camera'), await ben.seen('screen')].map((seen) => seen[ada.userId]!.width)
    expect(widths[0]).toBe(160)
    expect(widths[1]).toBeGreaterThan(160)
    // The fake screen beeps now and then.
    await eventually(async () => ((await ben.heard('screenAudio'))[ada.userId] ?? 0) > 0, 20_000)
    const state = async () => (await ben.state()).states.find(({ userId }) => userId === ada.userId)
    expect(await state()).toMatchObject({ camera: true, screen: true })
    await ada.stopSending('screen')
    await ada.stopSending('screenAudio')
    await eventually(async () => (await state())?.screen === false)
    await isTold(ben, [{ userId: ada.userId, source: 'camera', paused: false }])
    await eventually(async () => Bun.deepEquals(await ben.seen('screen'), {}))
  }, 60_000)

  test('a viewer gets the size that is asked for, of those that are sent', async () => {
    const channelId = await stage.channel('gallery')
    const [ada, ben] = some(2)
    await Promise.all([ada, ben].map((one) => one.join(channelId)))
    await ada.showCamera({ width: 640, height: 360 }, { simulcast: true })
    await eventually(async () => (await framesOf(ben, ada)) > 0, 20_000)
    await ben.prefer(0)
    await sees(ben, ada, { width: 320 })
    await ben.prefer(1)
    await sees(ben, ada, { width: 640 })
    await ben.prefer(0)
    await sees(ben, ada, { width: 320 })
  }, 60_000)

  test('a viewer gets the layer that is asked for, of those that are in one stream of VP9', async () => {
    const channelId = await stage.channel('loft')
    const [ada, ben] = some(2)
    await Promise.all([ada, ben].map((one) => one.join(channelId)))
    // Browsers send no layer that is smaller than the smallest of these.
    await ada.showCamera({ width: 960, height: 540 }, { codec: 'VP9', scalabilityMode: 'L3T3_KEY' })
    await sees(ben, ada, { width: 960, codec: 'VP9' })
    for (const [layer, width] of [240, 480, 960].entries()) {
      await ben.prefer(layer)
      await sees(ben, ada, { width, codec: 'VP9' })
    }
  }, 90_000)

  test.each(['H264', 'AV1'] as const)(
    'a camera is sent in %s, and seen',
    async (codec) => {
      const channelId = await stage.channel(`room ${codec}`.toLowerCase().replace(' ', '-'))
      const [ada, ben] = some(2)
      if (!(await ada.knows(codec))) return console.log(`  this Chromium has no ${codec}: not tried`)
      await Promise.all([ada, ben].map((one) => one.join(channelId)))
      await ada.showCamera({ width: 320, height: 240 }, { codec })
      await sees(ben, ada, { width: 320, codec })
      let last: Awaited<ReturnType<Player['recognise']>> | undefined
      // Pictures are decoded before they are drawn.
      const isItsPicture = async () => {
        last = await ben.recognise(await ben.page.screenshot(), ada.userId)
        return last.ground > 0.6 && last.bright > 0.01 && last.bright < 0.3
      }
      await eventually(isItsPicture, 20_000).catch(() => {
        throw new Error(`not the camera's picture: ${JSON.stringify(last)}`)
      })
    },
    60_000,
  )

  test('a camera that nobody looks at is not sent, and again when somebody does; the others see no pause', async () => {
    const channelId = await stage.channel('window')
    const [ada, ben] = some(2)
    await Promise.all([ada, ben].map((one) => one.join(channelId)))
    await ada.showCamera()
    await eventually(async () => (await framesOf(ben, ada)) > 5, 20_000)
    await ben.look(false)
    const isStill = async () => {
      const before = await ada.sent('camera')
      await Bun.sleep(1_000)
      return (await ada.sent('camera')) === before
    }
    await eventually(isStill, 20_000)
    await isTold(ben, [{ userId: ada.userId, source: 'camera', paused: false }])
    const frames = await framesOf(ben, ada)
    await ben.look(true)
    await eventually(async () => (await framesOf(ben, ada)) > frames + 5, 20_000)
  }, 60_000)

  test('who is deaf hears nobody and is heard, and hears again afterwards', async () => {
    const channelId = await stage.channel('cellar')
    const [ada, ben] = some(2)
    await Promise.all([ada, ben].map((one) => one.join(channelId)))
    await Promise.all([ada.speak(400), ben.speak(700)])
    await hears(ada, { [ben.userId]: 700 })
    await ada.deafen(true)
    await hears(ada, { [ben.userId]: 0 })
    await hears(ben, { [ada.userId]: 400 })
    const isDeaf = async () => (await ben.state()).states.find(({ userId }) => userId === ada.userId)?.selfDeafened
    await eventually(isDeaf)
    await ada.deafen(false)
    await hears(ada, { [ben.userId]: 700 })
    await eventually(async () => (await isDeaf()) === false)
  }, 60_000)

  test('who leaves is gone for all, and comes again, also into another channel', async () => {
    const [first, second] = [await stage.channel('porch'), await stage.channel('garden')]
    const [ada, ben] = some(2)
    await Promise.all([ada, ben].map((one) => one.join(first)))
    await ada.speak(400)
    await hears(ben, { [ada.userId]: 400 })
    await ada.leave()
    await eventually(async () => (await ben.state()).producers.length === 0)
    await eventually(async () => !(await ben.state()).states.some(({ userId }) => userId === ada.userId))
    await eventually(async () => Bun.deepEquals(await ben.heard(), {}))
    await ada.join(first)
    await ada.speak(1_000)
    await hears(ben, { [ada.userId]: 1_000 })
    // What is sent goes along.
    await ada.join(second)
    await eventually(async () => (await ben.state()).producers.length === 0)
    await ben.join(second)
    await hears(ben, { [ada.userId]: 1_000 })
  }, 60_000)
})

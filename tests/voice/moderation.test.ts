import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import {
  deafenParticipant,
  disconnectParticipant,
  moveParticipant,
  muteParticipant,
  setOverride,
  undeafenParticipant,
  unmuteParticipant,
  unwrap,
} from '@conntext/sdk'
import { type Deployment, eventually, startDeployment } from '@conntext/testing'
import { chromiumPath } from '@conntext/testing/browser'
import { happened, hears, leaveAll, seesMore } from './looks.ts'
import { type Player, type Stage, setStage, VOICE_SETTINGS } from './stage.ts'
import { workersOf } from './workers.ts'

const path = chromiumPath()
if (path === undefined) console.log('No Chromium: calls are not tried in it. CONNTEXT_TEST_CHROMIUM names one.')

type VoicePermission = 'voice.connect' | 'voice.speak' | 'voice.video'

/** What others do to those who are in a call: moderators, whoever takes permissions away, and a worker that dies. */
describe.skipIf(path === undefined)('who is in a call', () => {
  let server: Deployment
  let stage: Stage
  let ada: Player
  let ben: Player

  beforeAll(async () => {
    server = await startDeployment(VOICE_SETTINGS)
    stage = await setStage(server.url, path!)
    ;[ada, ben] = [await stage.enter('ada'), await stage.enter('ben')]
  }, 120_000)

  afterEach(() => leaveAll([ada, ben]))

  afterAll(async () => {
    await stage?.[Symbol.asyncDispose]()
    await server?.[Symbol.asyncDispose]()
  }, 60_000)

  /** Both in a call, ada heard and seen by ben. */
  async function call(name: string): Promise<string> {
    const channelId = await stage.channel(name)
    await Promise.all([ada, ben].map((one) => one.join(channelId)))
    await Promise.all([ada.speak(400), ada.showCamera({ width: 160, height: 120 })])
    await hears(ben, { [ada.userId]: 400 })
    await seesMore(ben, ada)
    return channelId
  }

  const as = () => ({ client: stage.owner.client, headers: { 'X-Audit-Reason': 'a test' } })
  const onAda = (channelId: string) => ({ ...as(), path: { channelId, userId: ada.userId } })
  const stateOf = async (viewer: Player, userId: string) =>
    (await viewer.state()).states.find((state) => state.userId === userId)
  const deny = (channelId: string, ...permissions: VoicePermission[]) =>
    unwrap(
      setOverride({
        ...as(),
        path: { channelId, targetId: stage.everyoneId },
        body: { allow: [], deny: permissions },
      }),
    )

  test('is heard by nobody while a moderator has muted them', async () => {
    const channelId = await call('forum')
    await unwrap(muteParticipant(onAda(channelId)))
    await hears(ben, { [ada.userId]: 0 })
    await eventually(async () => (await stateOf(ben, ada.userId))?.muted)
    // Whatever their own client says.
    await ada.mute(true)
    await ada.mute(false)
    await seesMore(ben, ada)
    await hears(ben, { [ada.userId]: 0 })
    await unwrap(unmuteParticipant(onAda(channelId)))
    await hears(ben, { [ada.userId]: 400 })
  }, 60_000)

  test('hears nobody while a moderator has deafened them', async () => {
    const channelId = await call('tavern')
    await ben.speak(700)
    await hears(ada, { [ben.userId]: 700 })
    await unwrap(deafenParticipant(onAda(channelId)))
    await hears(ada, { [ben.userId]: 0 })
    await unwrap(undeafenParticipant(onAda(channelId)))
    await hears(ada, { [ben.userId]: 700 })
  }, 60_000)

  test('goes along with all that they send where a moderator moves them', async () => {
    const [from, to] = [await call('pier'), await stage.channel('boat')]
    await unwrap(moveParticipant({ ...onAda(from), body: { channelId: to } }))
    await eventually(async () => (await ada.state()).channelId === to && (await ada.state()).state === 'joined')
    expect(await happened(ada, 'moved')).toEqual([to])
    await eventually(async () => (await ben.state()).producers.length === 0)
    await ben.join(to)
    await hears(ben, { [ada.userId]: 400 })
    await seesMore(ben, ada)
  }, 60_000)

  test('is out when a moderator disconnects them, and may come again', async () => {
    const channelId = await call('office')
    await unwrap(disconnectParticipant(onAda(channelId)))
    await eventually(async () => (await ada.state()).state === 'idle')
    expect((await happened(ada, 'ended')).at(-1)).toBe('disconnected')
    expect((await happened(ada, 'publicationEnded')).slice(-2).sort()).toEqual([
      'camera callEnded',
      'microphone callEnded',
    ])
    await eventually(async () => (await stateOf(ben, ada.userId)) === undefined)
    await eventually(async () => Bun.deepEquals(await ben.heard(), {}))
    await ada.join(channelId)
    await ada.speak(1_000)
    await hears(ben, { [ada.userId]: 1_000 })
  }, 60_000)

  test('sends no more than permissions allow, from the moment on when these are taken', async () => {
    const channelId = await call('studio')
    await deny(channelId, 'voice.video')
    await eventually(async () => (await ada.state()).sending.every((source) => source !== 'camera'))
    expect((await happened(ada, 'publicationEnded')).at(-1)).toBe('camera refused access.forbidden')
    await eventually(async () => Object.keys(await ben.seen()).length === 0)
    await hears(ben, { [ada.userId]: 400 })
    await deny(channelId, 'voice.video', 'voice.speak')
    await hears(ben, { [ada.userId]: 0 })
    await eventually(async () => (await stateOf(ben, ada.userId))?.suppressed)
    await deny(channelId, 'voice.video')
    await hears(ben, { [ada.userId]: 400 })
    await deny(channelId, 'voice.connect')
    await eventually(async () => (await ada.state()).state === 'idle' && (await ben.state()).state === 'idle')
    expect((await happened(ada, 'ended')).at(-1)).toBe('forbidden')
    expect(await ada.join(channelId).catch(String)).toContain('voice.connect')
  }, 60_000)

  test('is back within seconds with all that they send and receive when the media worker dies', async () => {
    await call('mill')
    await ben.speak(700)
    await hears(ada, { [ben.userId]: 700 })
    const workers = await workersOf(server.processes.map(({ pid }) => pid))
    expect(workers).toHaveLength(1)
    const before = (await happened(ada, 'interrupted')).length
    const struck = performance.now()
    process.kill(workers[0]!, 'SIGKILL')
    await eventually(async () => (await happened(ada, 'interrupted'))[before] === 'false')
    await hears(ben, { [ada.userId]: 400 })
    await hears(ada, { [ben.userId]: 700 })
    await seesMore(ben, ada, 1)
    const seconds = (performance.now() - struck) / 1_000
    console.log(`heard and seen again ${seconds.toFixed(1)} s after the worker was killed`)
    // The same participation: nobody was seen to leave.
    expect((await happened(ada, 'recovered')).at(-1)).toBe('true')
    expect(seconds).toBeLessThan(process.env.CI ? 40 : 10)
  }, 60_000)
})

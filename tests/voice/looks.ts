import { eventually } from '@conntext/testing'
import type { Player, Stage } from './stage.ts'

const WITHIN_MS = 20_000

/** Two people come into a new channel's call, and hear one another; the second sees the first. */
export async function beginCall(stage: Stage, [ada, ben]: readonly [Player, Player], name: string): Promise<void> {
  const channelId = await stage.channel(name)
  await Promise.all([ada, ben].map((one) => one.join(channelId)))
  await Promise.all([ada.speak(400), ben.speak(700), ada.showCamera({ width: 160, height: 120 })])
  await meet([ada, ben])
}

/** Waits until two people who are in a call as it was begun have all that they send one another. */
export async function meet([ada, ben]: readonly [Player, Player]): Promise<void> {
  await hears(ben, { [ada.userId]: 400 })
  await hears(ada, { [ben.userId]: 700 })
  await seesMore(ben, ada)
}

/** Waits until somebody hears exactly that: of whom which tone; 0 for silence. */
export async function hears(one: Player, tones: Record<string, number>): Promise<void> {
  let last: Record<string, number> = {}
  const isSo = async () => {
    last = await one.heard()
    return Bun.deepEquals(last, tones)
  }
  await eventually(isSo, WITHIN_MS).catch(() => {
    throw new Error(`${one.name} hears ${JSON.stringify(last)} and not ${JSON.stringify(tones)}`)
  })
}

/** How many pictures of somebody have been decoded. */
export const framesOf = async (viewer: Player, { userId }: Player, source = 'camera'): Promise<number> =>
  (await viewer.seen(source))[userId]?.frames ?? 0

/** Waits until so many more pictures of somebody have been decoded. */
export async function seesMore(viewer: Player, other: Player, frames = 5, withinMs = WITHIN_MS): Promise<void> {
  const before = await framesOf(viewer, other)
  await eventually(async () => (await framesOf(viewer, other)) >= before + frames, withinMs)
}

/** Waits until what is decoded of somebody is like that, and goes on. */
export async function sees(viewer: Player, other: Player, wanted: { width: number; codec?: string }): Promise<void> {
  const isSo = async () => {
    const { width, codec } = (await viewer.seen())[other.userId] ?? {}
    return width === wanted.width && codec === (wanted.codec ?? codec)
  }
  await eventually(isSo, 25_000).catch(async () => {
    throw new Error(`not ${JSON.stringify(wanted)} but ${JSON.stringify(await viewer.seen())}`)
  })
  await seesMore(viewer, other, 3)
}

/** What has happened to somebody, of some kind. */
export const happened = async (one: Player, what: string): Promise<string[]> =>
  (await one.state()).log.filter((entry) => entry.what === what).map(({ detail }) => detail)

export async function leaveAll(people: Player[]): Promise<void> {
  for (const one of people ?? []) {
    await one.leave()
    await one.mute(false)
    await one.deafen(false)
  }
}

/** Waits until just these are what a viewer isTold of what others send. */
export async function isTold(viewer: Player, producers: { userId: string; source: string; paused: boolean }[]) {
  await eventually(async () => Bun.deepEquals((await viewer.state()).producers, producers))
}

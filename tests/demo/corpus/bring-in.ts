import {
  Api,
  createChannel,
  type Message,
  ProblemError,
  register,
  sendMessage,
  unwrap,
  updateOwnUser,
  updateServer,
} from '@conntext/sdk'
import type { Person } from '../../conversation/people.ts'
import { concurrently } from './concurrently.ts'
import type { Author, Plan, PlannedChannel } from './plan.ts'
import { readAll, type Scanned } from './scan.ts'

const PASSWORD = 'a long enough password'
// More at once wait for the same two or four cores: a password is hashed for each.
const REGISTRATIONS = 8
const CHANNELS_AT_ONCE = 32

export type Member = { id: string; username: string; api: Api }
/** A message as it was acknowledged, with what it was to be. */
export type Sent = { planned: PlannedChannel['messages'][number]; message: Message }
export type BroughtChannel = { id: string; name: string; sent: Sent[] }
export type Step = () => void

/** Makes an account for each author, by open registration. */
export async function registerAuthors(owner: Person, authors: Author[], step: Step): Promise<Map<Author, Member>> {
  await unwrap(updateServer({ client: owner.api.client, body: { registrationMode: 'open' } }))
  const members = new Map<Author, Member>()
  await concurrently(REGISTRATIONS, authors, async (author) => {
    const api = new Api({ baseUrl: owner.api.baseUrl })
    const { id, username } = await registerFree(api, author.username)
    if (author.displayName !== null) {
      await unwrap(updateOwnUser({ client: api.client, body: { displayName: author.displayName } }))
    }
    members.set(author, { id, username, api })
    step()
  })
  return members
}

/** Registers by the name, or where it is taken, or looks like another, by the name and a number. */
async function registerFree(api: Api, wanted: string): Promise<{ id: string; username: string }> {
  for (let n = 1; ; n += 1) {
    const username = n === 1 ? wanted : `${wanted.slice(0, 28)}-${n}`
    try {
      const account = await unwrap(register({ client: api.client, body: { username, password: PASSWORD } }))
      api.use(account)
      return account.user
    } catch (error) {
      if (!(error instanceof ProblemError && error.code === 'registration.usernameTaken')) throw error
    }
  }
}

/** Makes the channels, one after the other as an owner would. */
export async function makeChannels(owner: Person, channels: PlannedChannel[], step: Step): Promise<string[]> {
  const ids: string[] = []
  for (const { name } of channels) {
    const body = { name, type: 'text' } as const
    ids.push((await unwrap(createChannel({ client: owner.api.client, body }))).id)
    step()
  }
  return ids
}

/**
 * Sends all messages, each as its author: within a channel one after the other, as the order of the mails and their
 * answers want it, and many channels at once, the longest first.
 */
export async function sendMails(
  plan: Plan,
  ids: string[],
  members: Map<Author, Member>,
  step: Step,
): Promise<BroughtChannel[]> {
  const channels = plan.channels.map(({ name, messages }, i) => ({ id: ids[i]!, name, messages, sent: [] as Sent[] }))
  const longestFirst = channels.toSorted((a, b) => b.messages.length - a.messages.length)
  await concurrently(CHANNELS_AT_ONCE, longestFirst, async ({ id, messages, sent }) => {
    for (const planned of messages) {
      const { client } = members.get(planned.author)!.api
      const replyTo = planned.replyTo === null ? null : sent[planned.replyTo]!.message.id
      const body = { content: planned.content, nonce: crypto.randomUUID(), replyTo }
      sent.push({ planned, message: await unwrap(sendMessage({ client, path: { channelId: id }, body })) })
      step()
    }
  })
  return channels.map(({ id, name, sent }) => ({ id, name, sent }))
}

/** What was sent, as the scan reads it. */
export function toScan(channels: BroughtChannel[], members: Map<Author, Member>): Scanned[] {
  return readAll(
    channels.flatMap(({ name, sent }) =>
      sent.map(({ planned, message: { id, createdAt } }) => ({
        id,
        createdAt,
        content: planned.content,
        authorName: members.get(planned.author)!.username,
        channelName: name,
      })),
    ),
  )
}

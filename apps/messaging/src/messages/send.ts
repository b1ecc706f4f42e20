import type { Authority, Channel, Mentions, Message, NewMessage, Permission } from '@conntext/contracts'
import { accessErrors, type Caller, channelNotFound, dependencyErrors, type Refused } from '@conntext/http'
import type { PictureQueue } from '../images/queue.ts'
import { mayCallMany, NOBODY, resolveMentions } from '../mentions/resolve.ts'
import { Batcher } from './batcher.ts'
import { type CommitDeps, commitMessages, type Outgoing } from './commit.ts'
import { checkContent, checkStorable } from './content.ts'
import { messageErrors } from './errors.ts'

// Two, so that one channel's commit doesn't hold up another's.
const MAX_IN_FLIGHT = 2
const MAX_BATCH = 256
const MAX_QUEUED = 5000

export type SendDeps = CommitDeps & { refused: Refused; pictures: Pick<PictureQueue, 'settled'> }

/** Takes messages whose sender is known to be allowed to send in the channel. */
export class Sender {
  readonly #batcher: Batcher<Outgoing, Message>
  #closed = false

  constructor(private readonly deps: SendDeps) {
    this.#batcher = new Batcher<Outgoing, Message>({
      run: (batch) => commitMessages(deps, batch),
      // A second batch of a channel would only wait for the first one's lock, and take what could have joined a third.
      keyOf: ({ channelId }) => channelId,
      maxBatch: MAX_BATCH,
      maxInFlight: MAX_IN_FLIGHT,
      maxQueued: MAX_QUEUED,
      full: () => messageErrors.overloaded({ retryAfter: 1 }),
    })
  }

  /**
   * Stores a message; resolves after the commit. A repeat of an author's nonce in a channel stores nothing and answers
   * what the first send made, as it is now.
   * @throws the errors of the message catalogue, among them message.slowMode (429); message.deleted (409) where the first send's message is gone.
   */
  async send(caller: Caller, channelId: string, input: NewMessage): Promise<Message> {
    return this.submit(await this.prepare(caller, channelId, input))
  }

  /** Checks a message, but for what only the database knows. @throws as `send` */
  async prepare(caller: Caller, channelId: string, input: NewMessage): Promise<Outgoing> {
    const { content, nonce = null, replyTo = null, mediaIds = [] } = input
    const authority = await this.deps.guard.authority()
    const { limits } = authority.snapshot.server
    const channel = findChannel(authority, channelId)
    // What is no channel is a conversation: whoever asks has been admitted to it.
    if (channel && channel.type !== 'text') throw messageErrors.notATextChannel()
    checkContent(content, limits, mediaIds.length > 0)
    if (nonce !== null) checkStorable(nonce, '/body/nonce')
    // A reply shows what it quotes, to its author as well.
    if (replyTo !== null) await this.#assertMay(caller, 'message.history', channelId)
    if (mediaIds.length > limits.maxMediaPerMessage) {
      throw messageErrors.tooManyMedia(`At most ${limits.maxMediaPerMessage} files are taken in one message here.`)
    }
    if (mediaIds.length > 0) await this.#settleMedia(caller, channelId, mediaIds)
    const slowModeSeconds = channel ? await this.#slowMode(caller, channel) : 0
    const mentions = content.includes('@') ? await this.#mentions(caller, channelId, content) : NOBODY
    const { userId: authorId } = caller
    return { channelId, authorId, content, nonce, replyTo, mediaIds, mentions, slowModeSeconds, webhook: null }
  }

  #mentions(caller: Caller, channelId: string, content: string): Promise<Mentions> {
    const { guard } = this.deps
    return resolveMentions(guard, content, mayCallMany(guard, caller, channelId))
  }

  /** Stores what was prepared. Messages of one channel are numbered in the order in which they are submitted. */
  async submit(outgoing: Outgoing): Promise<Message> {
    if (this.#closed) throw dependencyErrors.away({ detail: 'The server is stopping.', retryAfter: 1 })
    return this.#batcher.add(outgoing)
  }

  /** Takes no more, and resolves when what was taken is stored. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#batcher.drain()
  }

  /** How long the caller waits between two messages here: not at all who keeps order in the channel. */
  async #slowMode(caller: Caller, { id, slowModeSeconds }: Channel): Promise<number> {
    if (slowModeSeconds === 0) return 0
    const { guard } = this.deps
    const exempt =
      (await guard.allows(caller, 'message.manage', id)) || (await guard.allows(caller, 'channel.manage', id))
    return exempt ? 0 : slowModeSeconds
  }

  /** What others see with the message is final: pictures without what they tell, with their sizes and thumbnails. */
  async #settleMedia(caller: Caller, channelId: string, mediaIds: string[]): Promise<void> {
    const { guard, pictures } = this.deps
    await this.#assertMay(caller, 'media.attach', channelId)
    await pictures.settled(caller.userId, mediaIds)
    // That may have taken seconds, in which they may have lost what they were admitted with.
    if (!(await guard.allows(caller, 'channel.view', channelId))) throw channelNotFound()
    for (const permission of ['message.send', 'media.attach'] as const) {
      await this.#assertMay(caller, permission, channelId)
    }
  }

  async #assertMay(caller: Caller, permission: Permission, channelId: string): Promise<void> {
    if (await this.deps.guard.allows(caller, permission, channelId)) return
    this.deps.refused(caller, permission, 'message.send')
    throw accessErrors.forbidden(`This needs the permission ${permission}.`)
  }
}

const indexes = new WeakMap<Authority, Map<string, Channel>>()

function findChannel(authority: Authority, channelId: string): Channel | undefined {
  let index = indexes.get(authority)
  if (!index) {
    index = new Map(authority.snapshot.channels.map((channel) => [channel.id, channel]))
    indexes.set(authority, index)
  }
  return index.get(channelId)
}

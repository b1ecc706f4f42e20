import {
  auditFor,
  isPermission,
  MAX_PAGE,
  type MessagingPort,
  type Session,
  type UserExport,
} from '@conntext/contracts'
import type { ServerDetails } from '@conntext/db-server-details'
import { accessErrors, actorOf, type Caller, pageRequest } from '@conntext/http'
import type { Clock, Logger } from '@conntext/kernel'
import type { Changes } from '../changes.ts'
import type { Sessions } from '../sessions/service.ts'
import { findHoldings } from './export-queries.ts'
import { findOwnUser } from './queries.ts'
import { toOwnUser } from './users.ts'

const audit = auditFor('auth')

type Dependencies = {
  db: ServerDetails
  clock: Clock
  changes: Changes
  sessions: Sessions
  messaging: Pick<MessagingPort, 'contactsOf' | 'writtenBy' | 'filesOf' | 'callsOf'>
  log: Logger
}

/** What fits into memory: messages, files and calls are streamed behind it. */
type Account = Omit<UserExport, 'files' | 'calls' | 'messages'>

const iso = (time: Date | null): string | null => time?.toISOString() ?? null

export function createUserExport({ db, clock, changes, sessions, messaging, log }: Dependencies) {
  const allSessions = async (caller: Caller): Promise<Session[]> => {
    const found: Session[] = []
    let cursor: string | null = null
    do {
      const query = { limit: String(MAX_PAGE), ...(cursor === null ? {} : { cursor }) }
      const page: Awaited<ReturnType<Sessions['list']>> = await sessions.list(caller, pageRequest(query))
      found.push(...page.items)
      cursor = page.nextCursor
    } while (cursor !== null)
    return found
  }

  const accountOf = async (caller: Caller): Promise<Account> => {
    const now = clock.now()
    const row = await findOwnUser(db, caller.userId)
    if (!row) throw accessErrors.unauthenticated()
    const { account, totp, ...held } = await findHoldings(db, caller.userId)
    return {
      exportedAt: now.toISOString(),
      account: {
        ...toOwnUser(row, now),
        nickname: account.nickname,
        emailVerifiedAt: iso(account.emailVerifiedAt),
        passwordChangedAt: iso(account.passwordChangedAt),
        joinedAt: account.joinedAt.toISOString(),
        timedOutUntil: iso(account.timedOutUntil),
      },
      roles: held.roles,
      sessions: await allSessions(caller),
      authenticatorApp: totp ? { createdAt: totp.createdAt.toISOString() } : null,
      recoveryCodesLeft: held.recoveryCodesLeft,
      passkeys: held.passkeys.map(withTimes),
      identities: held.identities.map(withTimes),
      apiTokens: held.apiTokens.map((token) => ({
        ...withTimes(token),
        scopes: token.scopes.filter(isPermission),
        expiresAt: iso(token.expiresAt),
      })),
      bots: held.bots.map((bot) => ({ ...bot, createdAt: bot.createdAt.toISOString() })),
      ...(await messaging.contactsOf({ userId: caller.userId })),
    }
  }

  return {
    /**
     * All that the server holds of the caller, as the JSON of a `UserExport`: a page of messages in memory, however many
     * there are. That messaging is away is known before the answer begins; later the answer breaks off.
     */
    async take(caller: Caller): Promise<ReadableStream<Uint8Array>> {
      const { userId } = caller
      const account = await accountOf(caller)
      const files = await inPages((after?: string) => messaging.filesOf({ userId, ...(after && { after }) }))
      const calls = await inPages((after?: string) => messaging.callsOf({ userId, ...(after && { after }) }))
      const messages = await inPages((after?: WrittenPlace) => messaging.writtenBy({ userId, ...(after && { after }) }))
      await changes.owe(db, { audit: [audit('user.exported', actorOf(caller), userId, {})] })
      await changes.settled()
      return streamOf(asJson(account, { files, calls, messages }), (error) =>
        log.warn({ err: error, userId }, 'a copy of an account could not be finished'),
      )
    },
  }
}

export type UserExports = ReturnType<typeof createUserExport>

const withTimes = <T extends { createdAt: Date; lastUsedAt: Date | null }>(row: T) => ({
  ...row,
  createdAt: row.createdAt.toISOString(),
  lastUsedAt: iso(row.lastUsedAt),
})

type WrittenPlace = NonNullable<Awaited<ReturnType<MessagingPort['writtenBy']>>['next']>
type Paged<T, P> = { items: T[]; next: P | null }

/** The pages of a list, the first of which is there already. */
async function inPages<T, P>(read: (after?: P) => Promise<Paged<T, P>>): Promise<AsyncIterable<T[]>> {
  let page = await read()
  return (async function* () {
    yield page.items
    while (page.next !== null) {
      page = await read(page.next)
      yield page.items
    }
  })()
}

/** The text of an object, with lists at its end that are written page by page. */
async function* asJson(account: Account, lists: Record<string, AsyncIterable<unknown[]>>): AsyncGenerator<string> {
  yield JSON.stringify(account).slice(0, -1)
  for (const [name, pages] of Object.entries(lists)) {
    let before = `,"${name}":[`
    for await (const page of pages) {
      if (page.length === 0) continue
      yield before + page.map((item) => JSON.stringify(item)).join(',')
      before = ','
    }
    yield before === ',' ? ']' : `${before}]`
  }
  yield '}'
}

/** As the reader takes it; ends early where the reader goes. */
function streamOf(text: AsyncGenerator<string>, failed: (error: unknown) => void): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder()
  return new ReadableStream({
    async pull(controller) {
      try {
        const { done, value } = await text.next()
        if (done) controller.close()
        else controller.enqueue(encoder.encode(value))
      } catch (error) {
        failed(error)
        controller.error(error)
      }
    },
    async cancel() {
      await text.return(undefined)
    },
  })
}

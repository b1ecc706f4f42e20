import { Api, login, register, unwrap, updateServer } from '@conntext/sdk'
import type { startBenchServer } from './server.ts'

const PASSWORD = 'a-long-enough-password'
// Each takes a whole core while its password is hashed.
const AT_ONCE = 4

/** Somebody on the server, with a new access token. */
export type Account = { id: string; token: string }

type Bench = Pick<Awaited<ReturnType<typeof startBenchServer>>, 'api'>

/** So many people who join a server, beside its owner. */
export async function makeAccounts({ api }: Bench, count: number): Promise<Account[]> {
  await unwrap(updateServer({ client: api.client, body: { registrationMode: 'open' } }))
  const join = async (index: number): Promise<Account> => {
    const { client } = new Api({ baseUrl: api.baseUrl })
    const { user, accessToken } = await unwrap(
      register({ client, body: { username: nameOf(index), password: PASSWORD } }),
    )
    return { id: user.id, token: accessToken }
  }
  const accounts: Account[] = []
  while (accounts.length < count) {
    const more = Array.from({ length: Math.min(AT_ONCE, count - accounts.length) }, (_, at) => accounts.length + at)
    accounts.push(...(await Promise.all(more.map(join))))
  }
  return accounts
}

/** The same people with tokens as fresh as can be: they don't last for a whole bench. */
export async function renewTokens({ api }: Bench, accounts: Account[]): Promise<void> {
  for (const [index, account] of accounts.entries()) {
    const { client } = new Api({ baseUrl: api.baseUrl })
    const answer = await unwrap(login({ client, body: { login: nameOf(index), password: PASSWORD } }))
    if (!('accessToken' in answer)) throw new Error('a second factor is asked for')
    account.token = answer.accessToken
  }
}

const nameOf = (index: number): string => `member${index}`

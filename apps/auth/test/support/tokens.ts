import type { ApiToken, Authenticated, Bot, CreatedApiToken, Page, Permission, Problem } from '@conntext/contracts'
import { PASSWORD, type startAuth } from '../stack.ts'

type Auth = Awaited<ReturnType<typeof startAuth>>
type Fields = Record<string, unknown>

/** What tests do with API tokens and bots, in the name of whoever is given. */
export const tokenCalls = (auth: Auth) => ({
  /** With the right password, unless the fields say otherwise. */
  create: (by: Authenticated, fields: Fields = {}) =>
    auth.request<CreatedApiToken & Problem>('POST', '/v1/auth/tokens', {
      token: by.accessToken,
      body: { name: 'mine', scopes: ['channel.view'], password: PASSWORD, ...fields },
    }),

  async token(by: Authenticated, scopes: Permission[], fields: Fields = {}): Promise<CreatedApiToken> {
    const { status, body, text } = await this.create(by, { scopes, ...fields })
    if (status !== 201) throw new Error(`no token was made: ${text}`)
    return body
  },

  async list(by: Authenticated, query = ''): Promise<Page<ApiToken>> {
    return (await auth.request<Page<ApiToken>>('GET', `/v1/auth/tokens${query}`, { token: by.accessToken })).body
  },

  revoke: (by: Authenticated, id: string) =>
    auth.request<Problem>('DELETE', `/v1/auth/tokens/${id}`, { token: by.accessToken }),

  async bot(by: Authenticated, username: string): Promise<Bot> {
    const body = { username }
    const made = await auth.request<Bot>('POST', '/v1/bots', { token: by.accessToken, body })
    if (made.status !== 201) throw new Error(`no bot was made: ${made.text}`)
    return made.body
  },

  /** Somebody with the permissions, by a role that the owner makes for them. */
  async memberWith(owner: Authenticated, username: string, permissions: Permission[]): Promise<Authenticated> {
    const member = await auth.member(username)
    const role = await auth.role(owner, `role of ${username}`, permissions)
    await auth.give(owner, member.user.id, [role.id])
    return member
  },
})

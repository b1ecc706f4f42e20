import { networkOf } from '../throttle/network.ts'
import type { Subject } from '../throttle/throttle.ts'
import { emailKey, usernameKey } from '../users/users.ts'

/**
 * By what was typed: a shared count would tell which email address belongs to which user name. With an address: only for
 * failures from there.
 */
export const accountSubject = (name: string, address?: string): Subject => ({
  kind: 'account',
  name: address === undefined ? name.toLowerCase() : `${name.toLowerCase()} from ${networkOf(address)}`,
})

/** All that failures in an account's name are counted under. */
export const accountSubjects = ({ username, email }: { username: string; email: string | null }): Subject[] =>
  [usernameKey(username), ...(email === null ? [] : [emailKey(email)])].map((name) => accountSubject(name))

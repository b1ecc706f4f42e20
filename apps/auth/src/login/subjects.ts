import type { Subject } from '../throttle/throttle.ts'
import { emailKey, usernameKey } from '../users/users.ts'

/** By what was typed: a shared count would tell which email address belongs to which user name. */
export const accountSubject = (name: string): Subject => ({ kind: 'account', name: name.toLowerCase() })

/** All that failures in an account's name are counted under. */
export const accountSubjects = ({ username, email }: { username: string; email: string | null }): Subject[] =>
  [usernameKey(username), ...(email === null ? [] : [emailKey(email)])].map(accountSubject)

import { readFileSync, type Stats, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { childEnvironment, runBound } from '../bound-process.ts'
import { EmbeddedPostgresFailed } from '../errors.ts'
import type { PostgresBinaries } from './binaries.ts'

/** Under which account Postgres runs. */
export interface PostgresAccount {
  /** Put before a command to run it under that account; empty when that is ours. */
  runAs: readonly string[]
  /** Who must own Postgres's files; `undefined` when they are ours anyway. */
  owner: { uid: number; gid: number } | undefined
}

interface Account {
  name: string
  uid: number
  gid: number
}

const ourAccount: PostgresAccount = { runAs: [], owner: undefined }

/**
 * Postgres refuses to run as root. An ordinary user runs it under their own account. Root gives it an unprivileged
 * one, if that can reach the binaries and the directory; otherwise a user namespace in which root is called nobody:
 * less of a protection, as the files stay root's, but it needs no path to be opened. Throws `EmbeddedPostgresFailed`
 * when neither works.
 */
export async function choosePostgresAccount(directory: string, binaries: PostgresBinaries): Promise<PostgresAccount> {
  if (process.getuid?.() !== 0) return ourAccount
  for (const account of unprivilegedAccounts(directory)) {
    const { uid, gid } = account
    const runAs = ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', '--no-new-privs', '--']
    if (await works(runAs, directory, binaries)) return { runAs, owner: { uid, gid } }
  }
  const runAs = ['unshare', '--user', '--map-user=65534', '--map-group=65534', '--']
  if (await works(runAs, directory, binaries)) return { runAs, owner: { uid: 0, gid: 0 } }
  throw new EmbeddedPostgresFailed(
    `Postgres can't run as root, and no way was found to run it as somebody else: no unprivileged account can reach ` +
      `both ${dirname(binaries.postgres)} and ${dirname(directory)}, and user namespaces aren't allowed here. ` +
      'Run ConnText as an ordinary user.',
  )
}

/** Whoever owns the data already comes first, then accounts that most systems have. */
function unprivilegedAccounts(directory: string): Account[] {
  const accounts = readAccounts()
  const owners = [directory, dirname(directory)].map((path) => ownerOf(path))
  const candidates = [
    ...owners.map((uid) => accounts.find((account) => account.uid === uid)),
    ...['conntext', 'nobody'].map((name) => accounts.find((account) => account.name === name)),
  ]
  const usable = candidates.filter((account) => account !== undefined && account.uid !== 0) as Account[]
  return [...new Set(usable)]
}

function readAccounts(): Account[] {
  try {
    return readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .map((line) => line.split(':'))
      .filter((fields) => fields.length >= 4)
      .map(([name, , uid, gid]) => ({ name: name!, uid: Number(uid), gid: Number(gid) }))
  } catch {
    return []
  }
}

function ownerOf(path: string): number | undefined {
  const stats: Stats | undefined = statSync(path, { throwIfNoEntry: false })
  return stats?.uid
}

/** Tries it: enters the directory above the data, and starts the program. */
async function works(runAs: readonly string[], directory: string, binaries: PostgresBinaries): Promise<boolean> {
  if (Bun.which(runAs[0]!) === null) return false
  const script = 'cd "$1" && exec "$2" --version'
  const command = ['/bin/sh', '-c', script, 'sh', dirname(directory), binaries.postgres]
  const { code } = await runBound({ command, runAs, env: childEnvironment(binaries.env) })
  return code === 0
}

import {
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { childEnvironment, runBound } from '../bound-process.ts'
import { EmbeddedPostgresFailed, EmbeddedPostgresUnavailable } from '../errors.ts'
import { syncDirectory } from '../secrets.ts'
import type { PostgresAccount } from './account.ts'
import type { PostgresBinaries } from './binaries.ts'

export interface ClusterOptions {
  directory: string
  superuserPassword: string
  durability: 'full' | 'none'
}

/**
 * Makes the cluster when `directory` has none, and sees that its files belong to the account that Postgres runs under.
 * It is made beside its place and moved there when complete: an interrupted attempt is never taken for a cluster.
 * Throws `EmbeddedPostgresFailed`.
 */
export async function prepareCluster(
  options: ClusterOptions,
  binaries: PostgresBinaries,
  account: PostgresAccount,
): Promise<void> {
  const { directory } = options
  removeLeftovers(directory)
  if (existsSync(join(directory, 'PG_VERSION'))) {
    assertVersion(directory, binaries.majorVersion)
  } else {
    if (existsSync(directory) && readdirSync(directory).length > 0) {
      throw new EmbeddedPostgresFailed(`${directory} is not empty, and what is in it is no Postgres data.`)
    }
    await createCluster(options, binaries, account)
  }
  await ensureOwner(directory, account)
}

const unfinished = '.unfinished-'

function removeLeftovers(directory: string): void {
  for (const name of readdirSync(dirname(directory))) {
    if (name.startsWith(basename(directory) + unfinished)) {
      // A killed attempt's initdb may still be writing for a moment.
      rmSync(join(dirname(directory), name), { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
    }
  }
}

function assertVersion(directory: string, expected: number): void {
  const found = readFileSync(join(directory, 'PG_VERSION'), 'utf8').trim()
  if (found === String(expected)) return
  throw new EmbeddedPostgresFailed(
    `The data in ${directory} was made by Postgres ${found}, and this ConnText brings Postgres ${expected}, which ` +
      `can't open it. Make a backup with the ConnText version that you had, and restore it into a new data directory.`,
  )
}

async function createCluster(
  { directory, superuserPassword, durability }: ClusterOptions,
  binaries: PostgresBinaries,
  account: PostgresAccount,
): Promise<void> {
  const attempt = `${directory}${unfinished}${crypto.randomUUID()}`
  const cluster = join(attempt, 'cluster')
  const passwordFile = join(attempt, 'password')
  mkdirSync(attempt, { mode: 0o700 })
  writeFileSync(passwordFile, `${superuserPassword}\n`, { mode: 0o600 })
  if (account.owner) for (const path of [attempt, passwordFile]) chownSync(path, account.owner.uid, account.owner.gid)
  try {
    const command = [binaries.initdb, '-D', cluster, `--pwfile=${passwordFile}`, ...initdbOptions]
    if (durability === 'none') command.push('--no-sync')
    const { code, signal, output } = await runBound({
      command,
      runAs: account.runAs,
      env: childEnvironment(binaries.env),
    })
    if (code !== 0) throw initdbError(code, signal, output)
    renameSync(cluster, directory)
    syncDirectory(dirname(directory))
  } finally {
    rmSync(attempt, { recursive: true, force: true })
  }
}

/**
 * Postgres's own C.UTF-8 collation, so that an upgrade of the system's C library can't corrupt an index; the other
 * locale categories (character classes in text search) from the system.
 */
const initdbOptions = [
  '--username=postgres',
  '--auth=scram-sha-256',
  '--encoding=UTF8',
  '--locale-provider=builtin',
  '--builtin-locale=C.UTF-8',
  `--locale=${process.platform === 'darwin' ? 'en_US.UTF-8' : 'C.UTF-8'}`,
  '--lc-messages=C',
  '--data-checksums',
]

function initdbError(code: number | null, signal: string | null, output: string): Error {
  // 126, 127: the loader didn't find the program or its libraries, as on Alpine Linux, whose C library is musl.
  if (code === 126 || code === 127) {
    return new EmbeddedPostgresUnavailable(
      `The embedded Postgres can't run on this system: ${output}. Configure the URL of a Postgres server.`,
    )
  }
  return new EmbeddedPostgresFailed(`Postgres's data can't be created (initdb ended with ${code ?? signal}): ${output}`)
}

/** After a change from root to an ordinary account, or back. Only root can do that; for others Postgres says what's wrong. */
async function ensureOwner(directory: string, { owner }: PostgresAccount): Promise<void> {
  if (!owner || lstatSync(directory).uid === owner.uid) return
  const command = ['chown', '-R', '-h', `${owner.uid}:${owner.gid}`, directory]
  const { code, output } = await runBound({ command, env: childEnvironment() })
  if (code !== 0) throw new EmbeddedPostgresFailed(`The owner of ${directory} can't be changed: ${output}`)
}

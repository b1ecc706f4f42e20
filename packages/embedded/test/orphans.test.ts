import { expect, setDefaultTimeout, test } from 'bun:test'
import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import { openDataDirectory, readOrCreateSecret } from '../src/index.ts'
import { temporaryDirectory } from './support/directories.ts'
import {
  asOrdinaryUser,
  bunWithin,
  eventually,
  isRoot,
  isRunning,
  ordinaryUser,
  processesWith,
  reachable,
  runScript,
} from './support/processes.ts'
import { clientOf, connect, rowsOf, startTestClickHouse, startTestPostgres } from './support/stores.ts'

// Each test starts databases; a busy machine takes its time.
setDefaultTimeout(30_000)

const accounts = [...(isRoot ? ['root'] : []), ...(reachable ? ['an ordinary user'] : [])]
const rounds = 2
const rowsARound = 40

test.each(accounts)(
  'after kill -9 of the server, run by %s, nothing is left running and no acknowledged row is lost',
  async (account) => {
    const ordinary = account !== 'root'
    using place = temporaryDirectory(isRoot && ordinary ? { owner: ordinaryUser } : {})
    if (!ordinary) chmodSync(place.path, 0o711)
    const path = join(place.path, 'data')
    const bun = isRoot && ordinary ? bunWithin(place.path) : process.execPath
    const acknowledged = { postgres: new Set<number>(), clickHouse: new Set<number>() }

    for (let round = 1; round <= rounds; round++) {
      await using owner = runScript('owner.ts', [path], { runAs: ordinary ? asOrdinaryUser : [], bun })
      const pids = JSON.parse(await owner.line()) as Record<keyof typeof acknowledged, number>
      const note = (line: string) => {
        const [store, id] = line.split(' ')
        acknowledged[store as keyof typeof acknowledged].add(Number(id))
      }
      while (Object.values(acknowledged).some((ids) => ids.size < round * rowsARound)) note(await owner.line())
      owner.kill('SIGKILL')
      // What it had still printed counts as well.
      for (let line = await owner.line().catch(() => ''); line; line = await owner.line().catch(() => '')) note(line)
      if (round < rounds) continue
      await eventually('the stores end', () => !Object.values(pids).some(isRunning))
      await eventually("Postgres's workers end", () => processesWith(path).length === 0)
    }

    using data = openDataDirectory(path)
    await using postgres = await startTestPostgres({
      directory: join(path, 'postgres'),
      superuserPassword: readOrCreateSecret(data, 'postgres', 32),
    })
    await using sql = connect(postgres.url('postgres'))
    const inPostgres = new Set((await sql`select id::int from kept`).map(({ id }) => id as number))
    expect([...acknowledged.postgres].filter((id) => !inPostgres.has(id))).toEqual([])

    const password = readOrCreateSecret(data, 'clickhouse', 32)
    await using clickHouse = await startTestClickHouse({ directory: join(path, 'clickhouse'), password })
    await using client = clientOf(clickHouse)
    const found = await rowsOf<{ id: number }>(client, 'SELECT id FROM kept')
    const inClickHouse = new Set(found.map(({ id }) => Number(id)))
    expect([...acknowledged.clickHouse].filter((id) => !inClickHouse.has(id))).toEqual([])
  },
)

import type { Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import postgres, { type ReservedSql, type Sql } from 'postgres'
import { BackupError } from '../errors.ts'
import type { BackupSnapshot, DatabaseName, TableColumns } from '../format.ts'
import { quoted } from '../postgres.ts'

/** Fills the tables of one database, in one transaction. */
export class Filling {
  private constructor(
    private readonly client: Sql,
    readonly connection: ReservedSql,
  ) {}
  #copy: { table: string; stream: Writable } | undefined

  static async begin(url: string, tables: TableColumns[]): Promise<Filling> {
    const settings = { application_name: 'conntext restore', statement_timeout: 0 }
    const client = postgres(url, { max: 1, onnotice: () => {}, connection: settings })
    const connection = await client.reserve()
    await connection.unsafe('begin')
    // Migrations may have put rows there.
    const names = tables.map(({ name }) => quoted(name)).join()
    if (names !== '') await connection.unsafe(`truncate ${names}`)
    return new Filling(client, connection)
  }

  async write({ name, columns }: TableColumns, data: Uint8Array): Promise<void> {
    if (this.#copy?.table !== name) {
      await this.endTable()
      const text = `copy ${quoted(name)} (${columns.map(quoted).join()}) from stdin`
      const stream = (await this.connection.unsafe(text).writable()) as unknown as Writable
      this.#copy = { table: name, stream }
    }
    const { stream } = this.#copy!
    if (stream.write(data)) return
    await new Promise<void>((resolve, reject) => {
      stream.once('drain', resolve)
      stream.once('error', reject)
    })
  }

  async endTable(): Promise<void> {
    const copy = this.#copy
    this.#copy = undefined
    if (!copy) return
    copy.stream.end()
    await finished(copy.stream)
  }

  /** @throws BackupError where other than what was written arrived */
  async assertRows(name: string, rows: number): Promise<void> {
    const [row] = (await this.connection.unsafe(`select count(*)::text as n from ${quoted(name)}`)) as unknown as [
      { n: string },
    ]
    if (Number(row.n) !== rows) throw new BackupError(`${name} was restored with ${row.n} rows instead of ${rows}.`)
  }

  async setSequences(snapshot: BackupSnapshot, database: DatabaseName): Promise<void> {
    for (const { name, value, isCalled } of snapshot.sequences.filter((one) => one.database === database)) {
      await this.connection`select setval(${quoted(name)}::regclass, ${value}::bigint, ${isCalled})`
    }
  }

  async commit(): Promise<void> {
    await this.connection.unsafe('commit')
    await this.client.end({ timeout: 0 })
  }

  async giveUp(): Promise<void> {
    await this.client.end({ timeout: 0 })
  }
}

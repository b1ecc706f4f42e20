import { expect, test } from 'bun:test'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import { storeEnvironment } from '../src/index.ts'

const FOLDER = fileURLToPath(new URL('../../db-communications/migrations', import.meta.url))

type Journal = { entries: { tag: string }[] }

async function apply(sql: postgres.Sql, tags: string[]): Promise<void> {
  for (const tag of tags) await sql.unsafe(await readFile(`${FOLDER}/${tag}.sql`, 'utf8'))
}

test('files from before there were objects have one each, are counted, and pictures among them wait to be looked into', async () => {
  const server = (await storeEnvironment()).CONNTEXT_TEST_POSTGRES!
  const name = `t_${crypto.randomUUID().replaceAll('-', '')}`
  const admin = postgres(server, { max: 1, onnotice: () => {} })
  await admin`create database ${admin(name)}`
  const sql = postgres(Object.assign(new URL(server), { pathname: `/${name}` }).href, { max: 1, onnotice: () => {} })
  try {
    const { entries } = JSON.parse(await readFile(`${FOLDER}/meta/_journal.json`, 'utf8')) as Journal
    const tags = entries.map(({ tag }) => tag)
    const media = tags.indexOf('0006_media')
    await apply(sql, tags.slice(0, media))
    const [ann, bob] = [crypto.randomUUID(), crypto.randomUUID()]
    const files: [owner: string, type: string, size: number][] = [
      [ann, 'image/jpeg', 100],
      [ann, 'text/plain', 20],
      [bob, 'image/svg+xml', 3],
      [bob, 'image/heic', 5_000_000_000],
    ]
    for (const [owner_id, content_type, size] of files) {
      const id = crypto.randomUUID()
      const row = { id, owner_id, filename: content_type, content_type, size, sha256: id, object_key: `media/${id}` }
      await sql`insert into media ${sql(row)}`
    }
    await apply(sql, tags.slice(media))
    const rows =
      await sql`select content_type, state, o.key = 'media/' || media.id as same, o.processed_at, uploaded_size
      from media join media_objects o on o.id = object_id order by size`
    expect(rows.map((row) => [row.content_type, row.state, row.same, row.processed_at])).toEqual([
      ['image/svg+xml', 'ready', true, null],
      ['text/plain', 'ready', true, null],
      ['image/jpeg', 'processing', true, null],
      ['image/heic', 'processing', true, null],
    ])
    const usage = await sql`select holder, bytes, files, reserved from media_usage order by bytes`
    expect(usage.map((row) => [row.holder, Number(row.bytes), row.files, Number(row.reserved)])).toEqual([
      [ann, 120, 2, 0],
      [bob, 5_000_000_003, 2, 0],
      ['server', 5_000_000_123, 4, 0],
    ])
  } finally {
    await sql.end()
    await admin`drop database ${admin(name)} with (force)`
    await admin.end()
  }
})

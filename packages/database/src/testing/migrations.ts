import { expect, test } from 'bun:test'
import { readdir } from 'node:fs/promises'
import { generateDrizzleJson, generateMigration } from 'drizzle-kit/api'

type Journal = { entries: { idx: number; tag: string; when: number }[] }

/** What holds for every database's migrations; `folder` is where they lie. */
export function testMigrations(schema: Record<string, unknown>, folder: string): void {
  const journal = async () => (await Bun.file(`${folder}/meta/_journal.json`).json()) as Journal

  test('the migrations make exactly the schema that the code has', async () => {
    const last = (await journal()).entries.at(-1)!
    const snapshot = await Bun.file(`${folder}/meta/${String(last.idx).padStart(4, '0')}_snapshot.json`).json()
    // `bun run generate` writes the migration that is missing here.
    expect(await generateMigration(snapshot, generateDrizzleJson(schema, snapshot.id))).toEqual([])
  })

  test('the journal names every migration once, in the order of numbers and of time', async () => {
    const { entries } = await journal()
    const files = (await readdir(folder)).filter((file) => file.endsWith('.sql')).sort()
    expect(entries.map((entry) => `${entry.tag}.sql`)).toEqual(files)
    expect(entries.map((entry) => entry.idx)).toEqual(entries.map((_, index) => index))
    // A migration older than the one before it would be passed over.
    expect(entries.map((entry) => entry.when)).toEqual(entries.map((entry) => entry.when).toSorted((a, b) => a - b))
  })
}

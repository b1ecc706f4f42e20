// Run on a file system of 1 MiB: prints what happens when it is full. Argument: the store's root.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { ObjectStoreError, openFilesystemStore } from '../../src/index.ts'
import { streamOf } from '../../src/testing/bodies.ts'

const root = process.argv[2]!
const store = await openFilesystemStore(root)
await store.put('small', new Uint8Array(1000))
const code = (error: unknown) => (error instanceof ObjectStoreError ? error.code : String(error))
const codes: unknown[] = []
for (const body of [new Uint8Array(2 ** 21), streamOf(2 ** 21), streamOf(2 ** 21)]) {
  codes.push(await store.put('large', body).catch(code))
}
const check = await store.check().then(() => 'works', code)
const { objects } = await store.list()
const temporary = readdirSync(join(root, 'tmp')).length
console.log(JSON.stringify({ codes, temporary, keys: objects.map(({ key }) => key), check }))

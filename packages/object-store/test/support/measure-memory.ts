// Stores or reads 400 MiB and prints by how many MiB the process grew at most. Arguments: the store's root, put or get.
import { openFilesystemStore } from '../../src/index.ts'
import { streamOf } from '../../src/testing/bodies.ts'

const [root, direction] = process.argv.slice(2)
const store = await openFilesystemStore(root!)
const before = process.memoryUsage.rss()
let peak = 0
const measure = () => {
  peak = Math.max(peak, process.memoryUsage.rss() - before)
}
const timer = setInterval(measure, 5)
if (direction === 'put') await store.put('big', streamOf(400 * 2 ** 20))
else for await (const _ of (await store.get('big')).body) measure()
clearInterval(timer)
console.log(Math.round(peak / 2 ** 20))

// Stores or reads so many MiB and prints by how many the process grew at most. Arguments: the folder of a store, or the
// options of one that speaks S3 as JSON; put or get; how many.
import { openFilesystemStore, openS3Store } from '../../src/index.ts'
import { streamOf } from '../../src/testing/bodies.ts'

const [place = '', direction, size] = process.argv.slice(2)
const store = await (place.startsWith('{') ? openS3Store(JSON.parse(place)) : openFilesystemStore(place))
const before = process.memoryUsage.rss()
let peak = 0
const measure = () => {
  peak = Math.max(peak, process.memoryUsage.rss() - before)
}
const timer = setInterval(measure, 5)
if (direction === 'put') await store.put('big', streamOf(Number(size) * 2 ** 20))
else for await (const _ of (await store.get('big')).body) measure()
clearInterval(timer)
console.log(Math.round(peak / 2 ** 20))
process.exit(0)

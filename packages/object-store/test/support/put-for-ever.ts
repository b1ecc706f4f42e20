// Stores an object that never ends, and says when 20 MiB have gone. Argument: the options of a store that speaks S3.
import { openS3Store } from '../../src/index.ts'
import { streamOf } from '../../src/testing/bodies.ts'

const store = await openS3Store(JSON.parse(process.argv[2]!))
let pieces = 0
const endless = new ReadableStream<Uint8Array>({
  async pull(controller) {
    controller.enqueue(await new Response(streamOf(2 ** 20)).bytes())
    pieces += 1
    if (pieces === 20) console.log('on its way')
    if (pieces > 20) await Bun.sleep(50)
  },
})
await store.put('never', endless)

// Opens a data directory and keeps it until killed, also through garbage collections.
import { openDataDirectory } from '../../src/index.ts'

function open() {
  openDataDirectory(process.argv[2]!)
}

try {
  open()
  Bun.gc(true)
  await Bun.sleep(1)
  Bun.gc(true)
  console.log('open')
  setInterval(() => Bun.gc(true), 50)
} catch (error) {
  console.log((error as Error).message)
}

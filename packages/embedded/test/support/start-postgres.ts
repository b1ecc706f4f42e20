// Starts Postgres in a directory, prints its process id, and waits to be killed. Arguments: directory, binding.
import type { Binding } from '../../src/bound-process.ts'
import { startPostgresBoundBy } from '../../src/postgres/start.ts'

const [directory, binding] = process.argv.slice(2)
console.log('starting')
try {
  const running = await startPostgresBoundBy(binding as Binding | undefined, {
    directory: directory!,
    superuserPassword: 'secret',
    durability: 'none',
  })
  console.log(running.pid)
  setInterval(() => {}, 1000)
} catch (error) {
  console.log((error as Error).message)
}

// Bare Bun.serve: a POST's body goes to a file as it arrives, there for good when it is answered; a GET sends the file.
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { endWithParent } from './parent.ts'

const directory = await mkdtemp(join(tmpdir(), 'conntext-copy-'))
const path = join(directory, 'file')
const server = Bun.serve({
  port: 0,
  hostname: '127.0.0.1',
  maxRequestBodySize: Number.MAX_SAFE_INTEGER,
  async fetch(request) {
    if (request.method === 'DELETE') await rm(directory, { recursive: true, force: true })
    if (request.method !== 'POST') return new Response(request.method === 'GET' ? Bun.file(path) : null)
    await using file = await open(path, 'w')
    for await (const chunk of request.body!) await file.write(chunk)
    await file.sync()
    return new Response(null, { status: 201 })
  },
})
console.log(server.port)
endWithParent()

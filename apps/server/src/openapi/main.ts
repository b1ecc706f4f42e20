// bun run openapi: writes openapi/conntext.json from the routes, and the SDK from that. With --check, only compares.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describeServer } from './describe.ts'

const FILE = fileURLToPath(new URL('../../../../openapi/conntext.json', import.meta.url))
const SDK = fileURLToPath(new URL('../../../../packages/sdk', import.meta.url))

const scratch = await mkdtemp(join(tmpdir(), 'conntext-openapi-'))
const text = `${JSON.stringify(await describeServer(scratch), null, 2)}\n`
await rm(scratch, { recursive: true })

if (process.argv.includes('--check')) {
  const same = (await readFile(FILE, 'utf8').catch(() => '')) === text
  if (!same) console.error('openapi/conntext.json is not what the routes say; run: bun run openapi')
  process.exit(same ? 0 : 1)
}
await writeFile(FILE, text)
const generated = Bun.spawnSync([process.execPath, 'run', 'generate'], {
  cwd: SDK,
  stdio: ['ignore', 'inherit', 'inherit'],
})
process.exit(generated.exitCode)

// bun run openapi: writes openapi/conntext.json from the routes, openapi/asyncapi.yaml from the gateway's frames and
// events, and the SDK from both. With --check, only compares.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import manifest from '../../package.json'
import { gatewayYaml } from '../asyncapi/document.ts'
import { describeServer } from './describe.ts'

const DOCUMENTS = fileURLToPath(new URL('../../../../openapi', import.meta.url))
const SDK = fileURLToPath(new URL('../../../../packages/sdk', import.meta.url))

const scratch = await mkdtemp(join(tmpdir(), 'conntext-openapi-'))
const texts = {
  'conntext.json': `${JSON.stringify(await describeServer(scratch), null, 2)}\n`,
  'asyncapi.yaml': gatewayYaml(manifest.version),
}
await rm(scratch, { recursive: true })

if (process.argv.includes('--check')) {
  let same = true
  for (const [name, text] of Object.entries(texts)) {
    if ((await readFile(join(DOCUMENTS, name), 'utf8').catch(() => '')) === text) continue
    console.error(`openapi/${name} is not what the code says; run: bun run openapi`)
    same = false
  }
  process.exit(same ? 0 : 1)
}
for (const [name, text] of Object.entries(texts)) await writeFile(join(DOCUMENTS, name), text)
const generated = Bun.spawnSync([process.execPath, 'run', 'generate'], {
  cwd: SDK,
  stdio: ['ignore', 'inherit', 'inherit'],
})
process.exit(generated.exitCode)

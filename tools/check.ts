// The static checks, all or those named: bun tools/check.ts [biome] [typecheck] [imports]
import { runStaticCheck, type StaticCheck, staticChecks } from './lib/static-checks.ts'

const isCheck = (name: string): name is StaticCheck => (staticChecks as string[]).includes(name)

const asked = process.argv.slice(2)
const unknown = asked.filter((name) => !isCheck(name))
if (unknown.length > 0) throw new Error(`no such check: ${unknown.join(', ')}`)

const failed: string[] = []
for (const name of asked.length > 0 ? asked.filter(isCheck) : staticChecks) {
  const held = await runStaticCheck(name)
  console.error(`${held ? '✓' : '✗'} ${name}`)
  if (!held) failed.push(name)
}
process.exit(failed.length > 0 ? 1 : 0)

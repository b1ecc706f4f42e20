import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The hash of everything that shapes the binary: the build script and the headers that stand in for others. */
export function recipeHash(folder: string = import.meta.dir): string {
  const shims = [...new Bun.Glob('shims/**/*').scanSync({ cwd: folder })].sort()
  const hash = createHash('sha256')
  for (const file of ['build.sh', ...shims]) hash.update(`\0${file}\0`).update(readFileSync(join(folder, file)))
  return hash.digest('hex').slice(0, 12)
}

if (import.meta.main) console.log(recipeHash())

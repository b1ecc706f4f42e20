import { chmod, copyFile, mkdir, rename } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Puts the binary in its place in one step, so that nobody ever starts half of it. */
export async function install(from: string, target: string): Promise<void> {
  await mkdir(dirname(target), { recursive: true })
  const staged = `${target}.${process.pid}`
  await copyFile(from, staged)
  await chmod(staged, 0o755)
  await rename(staged, target)
}

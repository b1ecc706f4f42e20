/**
 * Says whether a file is a mediasoup-worker that runs on this machine: started without a version, it refuses with
 * 41. mediasoup itself would let a missing or foreign binary end the whole process.
 */
export async function isRunnableWorker(file: string): Promise<boolean> {
  const { MEDIASOUP_VERSION: _, ...env } = process.env
  try {
    const child = Bun.spawn([file], { env, stdio: ['ignore', 'ignore', 'ignore'], timeout: 5000 })
    return (await child.exited) === 41
  } catch {
    return false
  }
}

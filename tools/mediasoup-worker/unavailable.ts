/** Why there is no worker, in words for whoever runs this, and what they can do. */
export class WorkerUnavailable extends Error {
  constructor(
    readonly reason: string,
    readonly remedy: string,
  ) {
    super(`${reason}. ${remedy}`)
  }
}

export const ELSEWHERE = 'Set MEDIASOUP_WORKER_BIN to a mediasoup-worker that was built elsewhere.'

import { accessErrors, type Caller, type Guard, type Refused } from '@conntext/http'
import type { AppError, Logger } from '@conntext/kernel'

type InFlightDeps = { guard: Guard; refused: Refused; log: Logger }

/**
 * Whether somebody who was let in may still go on: cut off as soon as their session or API token ends, or they are no
 * longer allowed what they do.
 */
export class InFlight implements Disposable {
  readonly #cut = new AbortController()
  readonly #end: (() => void)[] = []

  constructor(
    private readonly deps: InFlightDeps,
    private readonly caller: Caller,
    private readonly route: string,
  ) {
    const { guard, log } = deps
    this.#end.push(
      guard.onRevoked(({ sessionId }) => {
        if (sessionId === caller.sessionId) this.#cut.abort(accessErrors.unauthenticated())
      }),
      guard.onChange(({ userId }) => {
        if (userId !== undefined && userId !== caller.userId) return
        // An answer that can't be had now is had before the end.
        this.assert().catch((error: unknown) => log.warn({ err: error }, 'an upload could not be checked midway'))
      }),
    )
  }

  /** Aborts with the problem that the caller is to be told. */
  get signal(): AbortSignal {
    return this.#cut.signal
  }

  /** Asks again. @throws access.unauthenticated, .notAMember, .mfaRequired, .forbidden, whatever keeps them from it now */
  async assert(): Promise<void> {
    const refusal = await this.#refusal()
    if (refusal && !this.#cut.signal.aborted) this.#cut.abort(refusal)
    this.#cut.signal.throwIfAborted()
  }

  [Symbol.dispose](): void {
    for (const end of this.#end) end()
  }

  async #refusal(): Promise<AppError | undefined> {
    const { guard, refused } = this.deps
    const [authority, grant] = await Promise.all([guard.authority(), guard.grant(this.caller.userId)])
    if (grant?.standing === 'left') return accessErrors.notAMember()
    if (grant?.standing !== 'active') return accessErrors.unauthenticated()
    if (authority.lacksMfa(grant)) return accessErrors.mfaRequired()
    if (await guard.allows(this.caller, 'media.attach')) return undefined
    refused(this.caller, 'media.attach', this.route)
    return accessErrors.forbidden('This needs the permission media.attach.')
  }
}

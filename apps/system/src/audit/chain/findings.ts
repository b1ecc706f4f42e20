import type { AuditFinding } from '@conntext/contracts'

const MOST = 1_000

/** What a verification has found: all of it counted, the first of it told. */
export class Findings {
  readonly #told: AuditFinding[] = []
  #count = 0

  add(kind: AuditFinding['kind'], where: { batch?: number; index?: number; eventId?: string }, detail: string): void {
    this.#count += 1
    if (this.#told.length >= MOST) return
    const { batch = null, index = null, eventId = null } = where
    this.#told.push({ kind, batch, index, eventId, detail })
  }

  /** What is missing here and stands there is one row in a wrong place. */
  result(): { findings: AuditFinding[]; findingCount: number } {
    const removed = new Map(this.#told.filter(({ kind }) => kind === 'removed').map((one) => [one.eventId, one]))
    const isMoved = ({ kind, eventId }: AuditFinding) =>
      (kind === 'added' || kind === 'reordered') && removed.has(eventId)
    const moved = new Set(this.#told.filter(isMoved).map(({ eventId }) => eventId))
    const findings = this.#told
      .filter(({ kind, eventId }) => !(kind === 'removed' && moved.has(eventId)))
      .map((one) => (isMoved(one) ? reordered(one, removed.get(one.eventId)!) : one))
    return { findings, findingCount: this.#count - (this.#told.length - findings.length) }
  }
}

const reordered = (row: AuditFinding, { batch, index }: AuditFinding): AuditFinding => ({
  ...row,
  kind: 'reordered',
  detail: `The row belongs at ${batch}/${index}.`,
})

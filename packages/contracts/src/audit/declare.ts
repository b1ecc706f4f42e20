import { type TObject, Type } from '@sinclair/typebox'
import type { AuditEvent, ServiceName } from '../api/audit.ts'
import { Fields } from '../api/common.ts'

type Severity = AuditEvent['severity']
type Outcome = AuditEvent['outcome']
/** An audited action: what it is about, and what of it is kept. */
export type Declaration = {
  target: string
  data: TObject
  severity?: Severity
  outcome?: Outcome
  title: string
  /** The fields of the data that are removed when the account that is the target is deleted. */
  personal?: readonly string[]
}

export const None = Fields({})
export const text = Type.String()
export const nullableText = Type.Union([text, Type.Null()])
export const nullableNumber = Type.Union([Type.Integer(), Type.Null()])
export const names = Type.Array(text)
export const changes = Fields({ changes: Type.Record(text, Fields({ from: Type.Unknown(), to: Type.Unknown() })) })

// A refusal that is repeated is not recorded each time: the next record says how many there were meanwhile.
export const repeats = Type.Optional(Type.Integer({ minimum: 1 }))

// Each service records for itself what it refuses.
export const accessRefused = {
  title: 'Something was asked for without permission',
  target: 'route',
  data: Fields({ permission: text, repeats }),
  severity: 'notice',
  outcome: 'refused',
} as const

// What a flood of refusals leaves: the first of them one by one, and of the others how many there were.
export const refusalsSummed = {
  title: 'More was refused within a minute than is recorded one by one',
  target: 'server',
  data: Fields({ actions: Type.Record(text, Type.Integer({ minimum: 1 })) }),
  severity: 'warning',
  outcome: 'refused',
} as const

/** The actions of one service. */
export function declare<const S extends Record<string, Declaration>>(service: ServiceName, declarations: S) {
  return { service, declarations }
}

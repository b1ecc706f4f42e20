import { type Static, Type } from '@sinclair/typebox'
import { Enumeration, Fields, Id, Nullable, Shape, Timestamp } from './common.ts'

const Hash = Type.String({ pattern: '^[A-Za-z0-9+/]{43}=$', description: 'SHA-256, base64' })
const BatchNumber = Type.Integer({ minimum: 1, maximum: 999_999_999_999_999 })
const BatchText = Type.String({ pattern: '^[1-9][0-9]{0,14}$' })

export const AuditKey = Shape('AuditKey', {
  id: Type.String({ description: 'The thumbprint of the public key (RFC 7638)' }),
  publicKey: Type.String({ description: 'Ed25519, 32 bytes, base64' }),
  verifierKey: Type.String({ description: 'The same as tools for signed notes take it' }),
  createdAt: Timestamp,
  retiredAt: Nullable(Timestamp),
  endorsement: Nullable(Type.String({ description: 'The signature of the key before it over this one, base64' })),
})

export const AuditKeys = Shape('AuditKeys', {
  origin: Type.String({ description: 'The name of the log, on the first line of its checkpoints' }),
  keys: Type.Array(AuditKey),
})
export type AuditKeys = Static<typeof AuditKeys>

export const AuditCheckpoint = Shape('AuditCheckpoint', {
  origin: Type.String(),
  size: Type.Integer({ minimum: 1, description: 'How many batches the log has' }),
  events: Type.Integer({ minimum: 1 }),
  root: Hash,
  at: Timestamp,
  keyId: Type.String(),
  note: Type.String({ description: 'What to keep elsewhere: a C2SP tlog-checkpoint with its signature' }),
})
export type AuditCheckpoint = Static<typeof AuditCheckpoint>

export const AuditConsistencyQuery = Fields({ first: BatchText, second: Type.Optional(BatchText) })

export const AuditConsistency = Shape('AuditConsistency', {
  first: BatchNumber,
  firstRoot: Hash,
  second: BatchNumber,
  secondRoot: Hash,
  path: Type.Array(Hash, { description: 'RFC 9162, 2.1.4' }),
})
export type AuditConsistency = Static<typeof AuditConsistency>

export const AuditProof = Shape('AuditProof', {
  eventId: Id,
  leaf: Type.String({ description: 'The event as the log covers it: canonical JSON (RFC 8785)' }),
  origin: Nullable(
    Fields({ salt: Type.String(), address: Nullable(Type.String()), userAgent: Nullable(Type.String()) }),
  ),
  personal: Nullable(Fields({ salt: Type.String(), data: Type.String(), reason: Nullable(Type.String()) })),
  index: Type.Integer({ minimum: 0, description: 'The place of the event in its batch' }),
  path: Type.Array(Hash, { description: "From the leaf to the batch's root" }),
  header: Type.String({ description: "The batch's entry in the log: canonical JSON" }),
  headerPath: Type.Array(Hash, { description: "From the batch's header to the checkpoint's root" }),
  checkpoint: Type.String(),
})
export type AuditProof = Static<typeof AuditProof>

/** Without anything, all of the log. Times are those at which batches were made. */
export const AuditVerificationRequest = Shape('AuditVerificationRequest', {
  fromBatch: Type.Optional(BatchNumber),
  toBatch: Type.Optional(BatchNumber),
  from: Type.Optional(Timestamp),
  to: Type.Optional(Timestamp),
  checkpoint: Type.Optional(
    Type.String({ maxLength: 65_536, description: 'Checkpoints that were kept elsewhere, one after the other' }),
  ),
})
export type AuditVerificationRequest = Static<typeof AuditVerificationRequest>

export const AuditFinding = Shape('AuditFinding', {
  kind: Enumeration(
    ['changed', 'removed', 'added', 'reordered', 'erased', 'chainRewritten', 'signatureWrong', 'checkpointContradicts'],
    { title: 'AuditFindingKind' },
  ),
  batch: Nullable(Type.Integer({ minimum: 0 })),
  index: Nullable(Type.Integer({ minimum: 0 })),
  eventId: Nullable(Id),
  detail: Type.String(),
})
export type AuditFinding = Static<typeof AuditFinding>

export const AuditVerification = Shape('AuditVerification', {
  id: Id,
  state: Enumeration(['waiting', 'running', 'done', 'failed'], { title: 'AuditVerificationState' }),
  fromBatch: Nullable(BatchNumber),
  toBatch: Nullable(BatchNumber),
  batches: Type.Integer({ minimum: 0, description: 'How many have been verified' }),
  events: Type.Integer({ minimum: 0 }),
  totalEvents: Nullable(Type.Integer({ minimum: 0 })),
  intact: Nullable(Type.Boolean({ description: 'Once it is done' })),
  findingCount: Type.Integer({ minimum: 0 }),
  findings: Type.Array(AuditFinding, { description: 'The first thousand' }),
  error: Nullable(Type.String()),
  createdAt: Timestamp,
  finishedAt: Nullable(Timestamp),
})
export type AuditVerification = Static<typeof AuditVerification>

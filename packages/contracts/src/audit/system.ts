import { Type } from '@sinclair/typebox'
import { Fields } from '../api/common.ts'
import {
  accessRefused,
  changes,
  declare,
  None,
  names,
  nullableNumber,
  nullableText,
  refusalsSummed,
  text,
} from './declare.ts'

// What a channel's override allows and denies.
const sides = Fields({ allow: names, deny: names })

/** What system records. */
export const systemActions = declare('system', {
  'server.updated': { title: 'The server settings were changed', target: 'server', data: changes },
  'channel.created': { title: 'A channel was made', target: 'channel', data: Fields({ name: text, type: text }) },
  'channel.updated': { title: 'A channel was changed', target: 'channel', data: changes },
  'channel.deleted': { title: 'A channel was deleted', target: 'channel', data: Fields({ name: text }) },
  'override.set': {
    title: "A channel's permissions were changed for a role or a member",
    target: 'channel',
    data: Fields({
      targetKind: text,
      targetId: text,
      allow: names,
      deny: names,
      before: Type.Union([sides, Type.Null()]),
    }),
  },
  'override.removed': {
    title: "A channel's permissions are the general ones again for a role or a member",
    target: 'channel',
    data: Fields({ targetKind: text, targetId: text, before: sides }),
  },
  'invite.created': {
    title: 'An invite was made',
    target: 'invite',
    data: Fields({
      maxUses: Type.Union([Type.Integer(), Type.Null()]),
      expiresAt: nullableText,
      roleId: nullableText,
    }),
  },
  'invite.revoked': { title: 'An invite was revoked', target: 'invite', data: None },
  'invite.redeemed': { title: 'An invite was used', target: 'invite', data: Fields({ userId: text }) },
  'invite.released': {
    title: 'A use of an invite was given back: the account was not made',
    target: 'invite',
    data: Fields({ userId: text }),
  },
  'keys.rotated': {
    title: 'What is sealed was sealed anew',
    target: 'server',
    data: Fields({ values: Type.Integer(), masterKey: Type.Boolean(), auditKeyId: Type.Optional(text) }),
    severity: 'notice',
  },
  'logs.settingsChanged': {
    title: 'How much is logged, or for how long that is kept, was changed',
    target: 'logs',
    data: changes,
    severity: 'notice',
  },
  'logs.queried': { title: 'Somebody read the logs', target: 'logs', data: Fields({ filters: names }) },
  'audit.verificationAsked': {
    title: 'A verification of the audit trail was asked for',
    target: 'verification',
    data: Fields({ fromBatch: nullableNumber, toBatch: nullableNumber, against: Type.Boolean() }),
  },
  'audit.verified': {
    title: 'The audit trail was verified, and is as it was written',
    target: 'verification',
    data: Fields({ batches: Type.Integer(), events: Type.Integer() }),
  },
  'audit.tamperingFound': {
    title: 'The audit trail was verified, and is not as it was written',
    target: 'verification',
    data: Fields({ findings: Type.Integer(), kinds: names }),
    severity: 'warning',
    outcome: 'failed',
  },
  'audit.adopted': {
    title: 'The audit events from before the proven log were taken into it',
    target: 'audit',
    data: Fields({ events: Type.Integer() }),
    severity: 'notice',
  },
  'audit.personErased': {
    title: "A deleted account's personal data was removed from the audit trail",
    target: 'user',
    data: None,
    severity: 'notice',
  },
  'audit.cut': {
    title: 'Audit events were removed because they are kept no longer',
    target: 'audit',
    data: Fields({ before: text, category: text, events: Type.Integer(), batches: Type.Integer() }),
    severity: 'notice',
  },
  'audit.queried': { title: 'The audit trail was read', target: 'audit', data: Fields({ filters: names }) },
  'audit.sqlRun': {
    title: 'A question was put to the audit trail in SQL',
    target: 'audit',
    data: Fields({ sql: text, sha256: text }),
    severity: 'notice',
  },
  'audit.sqlRefused': {
    title: 'SQL that reaches for more than the audit trail was refused',
    target: 'audit',
    data: Fields({ sql: text, sha256: text, because: text }),
    severity: 'warning',
    outcome: 'refused',
  },
  'audit.exported': {
    title: 'The audit trail was exported',
    target: 'audit',
    data: Fields({ format: text, filters: names, from: text, to: text, expectedRows: Type.Integer() }),
    severity: 'notice',
  },
  'audit.retentionChanged': {
    title: 'For how long audit events are kept was changed',
    target: 'audit',
    data: changes,
    severity: 'notice',
  },
  'audit.followed': {
    title: 'Somebody began to follow the audit trail live',
    target: 'audit',
    data: Fields({ filters: names }),
  },
  'backup.asked': {
    title: 'A backup was asked for',
    target: 'backup',
    data: Fields({ logs: Type.Boolean() }),
    severity: 'notice',
  },
  'backup.created': {
    title: 'A backup was made',
    target: 'backup',
    data: Fields({
      name: text,
      size: Type.Integer(),
      sha256: text,
      rows: Type.Integer(),
      objects: Type.Integer(),
      missingObjects: Type.Integer(),
    }),
    severity: 'notice',
  },
  'backup.failed': {
    title: 'A backup could not be made',
    target: 'backup',
    data: Fields({ error: text }),
    severity: 'warning',
    outcome: 'failed',
  },
  'backup.downloaded': {
    title: 'Somebody took a backup along',
    target: 'backup',
    data: Fields({ name: text, size: Type.Integer() }),
    severity: 'warning',
  },
  'backup.deleted': {
    title: 'A backup was deleted',
    target: 'backup',
    data: Fields({ name: text }),
    severity: 'warning',
  },
  'backup.restored': {
    title: 'The server was restored from a backup',
    target: 'backup',
    data: Fields({ madeAt: text, release: text, missingObjects: Type.Integer() }),
    severity: 'warning',
  },
  'system.maintenanceChanged': {
    title: 'Maintenance began or ended, or something else was said of it',
    target: 'server',
    data: changes,
    severity: 'notice',
  },
  'system.started': { title: 'The server started', target: 'server', data: Fields({ version: text }) },
  'access.refused': accessRefused,
  'system.clockConfirmed': {
    title: 'The operator has said that the clock is right',
    target: 'server',
    data: Fields({ at: text }),
    severity: 'notice',
  },
  'refusals.summed': refusalsSummed,
})

import { currentContext, newId, traceIdOf } from '@conntext/kernel'
import type { Static, TObject } from '@sinclair/typebox'
import { Type } from '@sinclair/typebox'
import type { AuditActor, AuditEvent, ServiceName } from './api/audit.ts'
import { Fields } from './api/common.ts'

type Severity = AuditEvent['severity']
type Outcome = AuditEvent['outcome']
type Declaration = {
  target: string
  data: TObject
  severity?: Severity
  outcome?: Outcome
  title: string
  /** The fields of the data that are removed when the account that is the target is deleted. */
  personal?: readonly string[]
}

/** For what the server does by itself. */
export const systemActor: AuditActor = {
  kind: 'system',
  id: null,
  sessionId: null,
  address: null,
  userAgent: null,
  requestId: null,
  reason: null,
}

const None = Fields({})
const text = Type.String()
const nullableText = Type.Union([text, Type.Null()])
const nullableNumber = Type.Union([Type.Integer(), Type.Null()])
const names = Type.Array(text)
const changes = Fields({ changes: Type.Record(text, Fields({ from: Type.Unknown(), to: Type.Unknown() })) })

// A refusal that is repeated is not recorded each time: the next record says how many there were meanwhile.
const repeats = Type.Optional(Type.Integer({ minimum: 1 }))

// Each service records for itself what it refuses.
const accessRefused = {
  title: 'Something was asked for without permission',
  target: 'route',
  data: Fields({ permission: text, repeats }),
  severity: 'notice',
  outcome: 'refused',
} as const

function declare<const S extends Record<string, Declaration>>(service: ServiceName, declarations: S) {
  return { service, declarations }
}

/**
 * Every action that is audited, by the service that records it. Data holds ids and changed fields; never bodies,
 * secrets or tokens.
 */
export const auditCatalogue = {
  auth: declare('auth', {
    'user.registered': {
      title: 'An account was made',
      target: 'user',
      data: Fields({ username: text, via: text }),
      personal: ['username'],
    },
    'user.updated': { title: 'An account was changed', target: 'user', data: Fields({ fields: names }) },
    'user.passwordChanged': { title: 'A password was changed', target: 'user', data: Fields({ by: text }) },
    'user.passwordResetRequested': { title: 'A password reset was asked for', target: 'user', data: None },
    'user.emailVerified': { title: 'An email address was verified', target: 'user', data: None },
    'user.exported': { title: 'Somebody took a copy of their data', target: 'user', data: None },
    'user.deleted': { title: 'An account was deleted', target: 'user', data: Fields({ messages: text }) },
    'mfa.enabled': { title: 'A second factor was set up', target: 'user', data: Fields({ method: text }) },
    'mfa.disabled': {
      title: 'A second factor was removed',
      target: 'user',
      data: Fields({ method: text }),
      severity: 'notice',
    },
    'mfa.recoveryCodesRenewed': { title: 'Recovery codes were made anew', target: 'user', data: None },
    'mfa.recoveryCodeUsed': {
      title: 'A recovery code was used',
      target: 'user',
      data: Fields({ left: Type.Integer() }),
      severity: 'notice',
    },
    'passkey.added': { title: 'A passkey was added', target: 'passkey', data: Fields({ userId: text }) },
    'passkey.renamed': { title: 'A passkey was given another name', target: 'passkey', data: Fields({ userId: text }) },
    'passkey.removed': {
      title: 'A passkey was removed',
      target: 'passkey',
      data: Fields({ userId: text }),
      severity: 'notice',
    },
    'identity.linked': {
      title: 'An account was linked to an OIDC provider',
      target: 'user',
      data: Fields({ provider: text }),
      severity: 'notice',
    },
    'identity.unlinked': {
      title: 'An account is no longer linked to an OIDC provider',
      target: 'user',
      data: Fields({ provider: text }),
    },
    'oidcProvider.set': {
      title: 'An OIDC provider was set up or changed',
      target: 'oidcProvider',
      data: Fields({ fields: names }),
      severity: 'notice',
    },
    'oidcProvider.removed': {
      title: 'An OIDC provider was removed',
      target: 'oidcProvider',
      data: None,
      severity: 'notice',
    },
    'token.created': {
      title: 'An API token was made',
      target: 'token',
      data: Fields({ userId: text, scopes: names, expiresAt: nullableText }),
    },
    'token.revoked': { title: 'An API token was revoked', target: 'token', data: Fields({ userId: text, by: text }) },
    'bot.created': {
      title: 'A bot was made',
      target: 'user',
      data: Fields({ username: text }),
      personal: ['username'],
    },
    'bot.updated': { title: 'A bot was changed', target: 'user', data: Fields({ fields: names }) },
    'bot.deleted': { title: 'A bot was deleted', target: 'user', data: None },
    'registration.refused': {
      title: 'A registration was refused',
      target: 'server',
      data: Fields({ code: text, repeats }),
      severity: 'notice',
      outcome: 'refused',
    },
    'session.created': { title: 'Somebody logged in', target: 'session', data: None },
    'session.revoked': { title: 'A session was ended', target: 'session', data: Fields({ userId: text, by: text }) },
    'session.refreshReused': {
      title: 'A refresh token was used twice: the session was ended',
      target: 'session',
      data: Fields({ userId: text }),
      severity: 'warning',
      outcome: 'refused',
    },
    'login.failed': {
      title: 'A login failed',
      target: 'user',
      data: Fields({ code: text, repeats }),
      severity: 'notice',
      outcome: 'failed',
    },
    'confirmation.failed': {
      title: 'Somebody who was logged in could not prove that it is still them',
      target: 'user',
      data: Fields({ code: text, repeats }),
      severity: 'notice',
      outcome: 'failed',
    },
    'role.created': { title: 'A role was made', target: 'role', data: Fields({ name: text, permissions: names }) },
    'role.updated': { title: 'A role was changed', target: 'role', data: changes },
    'role.deleted': { title: 'A role was deleted', target: 'role', data: Fields({ name: text }) },
    'member.rolesChanged': {
      title: "A member's roles were changed",
      target: 'user',
      data: Fields({ added: names, removed: names }),
    },
    'member.nicknameChanged': { title: "A member's nickname was changed", target: 'user', data: None },
    'member.left': { title: 'A member left', target: 'user', data: None },
    'member.rejoined': { title: 'Somebody became a member again', target: 'user', data: Fields({ via: text }) },
    'member.kicked': { title: 'A member was removed', target: 'user', data: None, severity: 'notice' },
    'member.banned': {
      title: 'Somebody was banned',
      target: 'user',
      data: Fields({ expiresAt: nullableText, deletedMessagesSince: nullableText }),
      severity: 'notice',
    },
    'member.unbanned': { title: 'A ban ended', target: 'user', data: Fields({ by: text }), severity: 'notice' },
    'member.timedOut': {
      title: 'A member was silenced for a time',
      target: 'user',
      data: Fields({ until: text }),
      severity: 'notice',
    },
    'member.timeoutLifted': { title: "A member's timeout was lifted", target: 'user', data: None },
    'server.ownershipTransferred': {
      title: 'The server got another owner',
      target: 'user',
      data: Fields({ from: text }),
      severity: 'warning',
    },
    'keys.rotated': {
      title: 'What is sealed was sealed anew',
      target: 'server',
      data: Fields({ values: Type.Integer(), masterKey: Type.Boolean(), signingKeyId: Type.Optional(text) }),
      severity: 'notice',
    },
    'server.claimed': { title: 'The server got its owner', target: 'user', data: None, severity: 'notice' },
    'access.refused': accessRefused,
  }),
  system: declare('system', {
    'server.updated': { title: 'The server settings were changed', target: 'server', data: changes },
    'channel.created': { title: 'A channel was made', target: 'channel', data: Fields({ name: text, type: text }) },
    'channel.updated': { title: 'A channel was changed', target: 'channel', data: changes },
    'channel.deleted': { title: 'A channel was deleted', target: 'channel', data: Fields({ name: text }) },
    'override.set': {
      title: "A channel's permissions were changed for a role or a member",
      target: 'channel',
      data: Fields({ targetKind: text, targetId: text, allow: names, deny: names }),
    },
    'override.removed': {
      title: "A channel's permissions are the general ones again for a role or a member",
      target: 'channel',
      data: Fields({ targetKind: text, targetId: text }),
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
  }),
  messaging: declare('messaging', {
    'message.deletedByModerator': {
      title: "Somebody else's message was deleted",
      target: 'message',
      data: Fields({ channelId: text, authorId: text }),
    },
    'messages.bulkDeleted': {
      title: 'Messages were deleted together',
      target: 'channel',
      data: Fields({ count: Type.Integer(), messageIds: names }),
      severity: 'notice',
    },
    'message.pinned': { title: 'A message was pinned', target: 'message', data: Fields({ channelId: text }) },
    'message.unpinned': {
      title: 'A message is no longer pinned',
      target: 'message',
      data: Fields({ channelId: text }),
    },
    'reaction.removedByModerator': {
      title: "Somebody else's reaction was removed",
      target: 'message',
      data: Fields({ channelId: text, userId: text }),
    },
    'reactions.clearedByModerator': {
      title: 'All reactions to a message were removed',
      target: 'message',
      data: Fields({ channelId: text, count: Type.Integer() }),
    },
    'messages.deletedByModerator': {
      title: "Somebody's recent messages were deleted with their ban",
      target: 'user',
      data: Fields({ since: text, count: Type.Integer() }),
      severity: 'notice',
    },
    'messages.deletedWithAccount': {
      title: 'The messages of a deleted account were deleted, as its owner wished',
      target: 'user',
      data: Fields({ count: Type.Integer() }),
    },
    'webhook.created': {
      title: 'A webhook was made',
      target: 'webhook',
      data: Fields({ channelId: text, name: text, mentionEveryone: Type.Boolean() }),
    },
    'webhook.updated': {
      title: 'A webhook was changed',
      target: 'webhook',
      data: Fields({ channelId: text, ...changes.properties }),
    },
    'webhook.secretRotated': {
      title: 'A webhook got another address: the one before is of no use',
      target: 'webhook',
      data: Fields({ channelId: text }),
    },
    'webhook.deleted': {
      title: 'A webhook was deleted',
      target: 'webhook',
      data: Fields({ channelId: text, name: text }),
    },
    'webhook.refused': {
      title: 'Something came to a webhook with a wrong secret, or to one that is not there',
      target: 'webhook',
      data: Fields({ repeats }),
      severity: 'notice',
      outcome: 'refused',
    },
    // Whom is nobody's business.
    'block.added': { title: 'Somebody was blocked', target: 'user', data: None },
    'block.removed': { title: 'Somebody is no longer blocked', target: 'user', data: None },
    'contactSettings.updated': {
      title: 'Somebody changed who may begin conversations with them',
      target: 'user',
      data: changes,
    },
    'messages.expired': {
      title: 'Messages were deleted because their channel keeps them no longer',
      target: 'channel',
      data: Fields({ messages: Type.Integer(), files: Type.Integer() }),
    },
    'conversation.created': {
      title: 'A direct message or a group was begun',
      target: 'conversation',
      data: Fields({ kind: text, participantIds: names }),
    },
    'conversation.renamed': { title: 'A group was renamed', target: 'conversation', data: None },
    'conversation.participantAdded': {
      title: 'Somebody was added to a group',
      target: 'conversation',
      data: Fields({ userId: text }),
    },
    'conversation.participantRemoved': {
      title: 'Somebody left a group, or was removed from it',
      target: 'conversation',
      data: Fields({ userId: text }),
    },
    'call.started': {
      title: 'Two people met in a call',
      target: 'call',
      data: Fields({ channelId: text }),
    },
    'call.ended': {
      title: 'A call in which people had met was over',
      target: 'call',
      data: Fields({
        channelId: text,
        seconds: Type.Integer(),
        participants: Type.Integer(),
        peak: Type.Integer(),
        ending: text,
      }),
    },
    'calls.expired': {
      title: 'Calls were forgotten because the server keeps them no longer',
      target: 'server',
      data: Fields({ calls: Type.Integer() }),
    },
    'media.uploaded': {
      title: 'A file was uploaded',
      target: 'media',
      data: Fields({ size: Type.Integer(), contentType: text, sha256: text }),
    },
    'media.deleted': { title: 'A file was deleted', target: 'media', data: Fields({ ownerId: text }) },
    'access.refused': accessRefused,
  }),
  realtime: declare('realtime', {
    'voice.muted': { title: 'Somebody was muted in a call', target: 'user', data: Fields({ channelId: text }) },
    'voice.unmuted': { title: 'Somebody was unmuted in a call', target: 'user', data: Fields({ channelId: text }) },
    'voice.deafened': { title: 'Somebody was deafened in a call', target: 'user', data: Fields({ channelId: text }) },
    'voice.undeafened': {
      title: 'Somebody was undeafened in a call',
      target: 'user',
      data: Fields({ channelId: text }),
    },
    'voice.moved': {
      title: 'Somebody was moved to another call',
      target: 'user',
      data: Fields({ channelId: text, to: text }),
    },
    'voice.disconnected': {
      title: 'Somebody was disconnected from a call',
      target: 'user',
      data: Fields({ channelId: text }),
      severity: 'notice',
    },
    'access.refused': accessRefused,
  }),
} as const

type Catalogue = typeof auditCatalogue
type Declarations<S extends keyof Catalogue> = Catalogue[S]['declarations']

/** Which fields of an event's data tell of the account that is its target. */
export function personalFields(service: string, action: string): readonly string[] {
  if (!Object.hasOwn(auditCatalogue, service)) return []
  const { declarations } = auditCatalogue[service as keyof Catalogue] as { declarations: Record<string, Declaration> }
  return Object.hasOwn(declarations, action) ? (declarations[action]!.personal ?? []) : []
}

/** Makes audit events of one service: typed by the catalogue, ready for its outbox. */
export function auditFor<S extends keyof Catalogue>(service: S) {
  return <A extends keyof Declarations<S> & string>(
    action: A,
    actor: AuditActor,
    targetId: string | null,
    data: Declarations<S>[A] extends { data: infer D extends TObject } ? Static<D> : never,
  ): AuditEvent => {
    const declaration = (auditCatalogue[service].declarations as Record<string, Declaration>)[action]!
    const { requestId, reason, ...who } = actor
    const context = currentContext()
    const traceId = traceIdOf(context?.traceparent)
    return {
      id: newId(),
      occurredAt: new Date().toISOString(),
      service,
      action,
      severity: declaration.severity ?? 'info',
      outcome: declaration.outcome ?? 'done',
      actor: who,
      target: { kind: declaration.target, id: targetId },
      data,
      reason,
      // What a service does by itself because of a request belongs to it as well.
      requestId: requestId ?? context?.requestId ?? null,
      ...(traceId && { traceId }),
    }
  }
}

/** The changed fields of a patch, before and after; undefined when nothing changed. */
export function changedFields<T extends object>(before: T, patch: Partial<T>) {
  const changed = Object.entries(patch).flatMap(([key, to]) => {
    const from = before[key as keyof T]
    return to === undefined || Bun.deepEquals(from, to)
      ? []
      : [[key, { from: from as unknown, to: to as unknown }] as const]
  })
  return changed.length > 0 ? { changes: Object.fromEntries(changed) } : undefined
}

import { Type } from '@sinclair/typebox'
import { Fields } from '../api/common.ts'
import { accessRefused, changes, declare, None, names, nullableText, refusalsSummed, repeats, text } from './declare.ts'

/** What auth records. */
export const authActions = declare('auth', {
  'user.registered': {
    title: 'An account was made',
    target: 'user',
    data: Fields({ username: text, via: text }),
    personal: ['username'],
  },
  // Of the email address, which nobody else is shown, only that it changed.
  'user.updated': {
    title: 'An account was changed',
    target: 'user',
    data: Fields({ fields: names, ...changes.properties }),
    personal: ['changes'],
  },
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
  // Its name may tell of the person, and could not be erased: a passkey is the target, not the account.
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
    // Of the secret only that it changed.
    data: Fields({ fields: names, ...changes.properties }),
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
  'bot.updated': {
    title: 'A bot was changed',
    target: 'user',
    data: Fields({ fields: names, ...changes.properties }),
    personal: ['changes'],
  },
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
  'member.nicknameChanged': {
    title: "A member's nickname was changed",
    target: 'user',
    data: changes,
    personal: ['changes'],
  },
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
    // Until when they were silenced before.
    data: Fields({ until: text, before: nullableText }),
    severity: 'notice',
  },
  'member.timeoutLifted': { title: "A member's timeout was lifted", target: 'user', data: Fields({ until: text }) },
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
  'refusals.summed': refusalsSummed,
})

import { type AuditCategory, auditCatalogue, auditCategoryNames } from '@conntext/contracts'
import type { EventFilter } from '@conntext/db-audit'

const READS = new Set(['audit.queried', 'audit.sqlRun', 'audit.exported', 'audit.followed', 'logs.queried'])

// By what stands before the dot.
const SUBJECTS: Record<string, AuditCategory> = {
  ...of(
    'administration',
    'server refusals role channel override invite webhook keys audit system oidcProvider bot access backup',
  ),
  ...of('moderation', 'member message messages reaction reactions voice'),
  ...of('accounts', 'user mfa passkey identity token session login registration confirmation'),
}

function of(category: AuditCategory, subjects: string): Record<string, AuditCategory> {
  return Object.fromEntries(subjects.split(' ').map((subject) => [subject, category]))
}

/** To which category an action belongs when it is done and not grave. */
export const categoryOf = (action: string): AuditCategory =>
  READS.has(action) ? 'reads' : (SUBJECTS[action.slice(0, action.indexOf('.'))] ?? 'activity')

const actions = [...new Set(Object.values(auditCatalogue).flatMap((one) => Object.keys(one.declarations)))].sort()

/** Actions by category; what is in no catalogue any more is in none, and kept. */
export const actionsOf = Object.fromEntries(
  auditCategoryNames.map((name) => [name, actions.filter((one) => name !== 'security' && categoryOf(one) === name)]),
) as Record<AuditCategory, string[]>

/** What a category's events are found by, each event in one category alone. */
export const filtersOf = (category: AuditCategory): EventFilter[] =>
  category === 'security'
    ? [{ severity: 'warning' }, { outcome: 'refused' }, { outcome: 'failed' }]
    : [{ actions: actionsOf[category], outcome: 'done', severities: ['info', 'notice'] }]

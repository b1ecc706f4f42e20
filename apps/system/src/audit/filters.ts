import { isIP } from 'node:net'
import type { AuditEvent, AuditFacetsQuery } from '@conntext/contracts'
import type { EventFilter, TimeWindow } from '@conntext/db-audit'
import { requestErrors } from '@conntext/http'
import type { Clock } from '@conntext/kernel'
import { auditErrors } from './errors.ts'

const DAY_MS = 86_400_000
const DEFAULT_WINDOW_MS = 30 * DAY_MS
// The clock of another machine may be a little ahead of ours.
const CLOCK_SKEW_MS = 60_000
const SEVERITIES: AuditEvent['severity'][] = ['info', 'notice', 'warning']

type Asked = Omit<AuditFacetsQuery, 'from' | 'to'>

/** What a request asks for, as the audit database is asked. @throws request.invalid (422) */
export function filterOf({ action, address, minSeverity, ...filter }: Asked): EventFilter {
  return {
    ...filter,
    ...(action === undefined ? {} : actionsOf(action)),
    ...(address === undefined ? {} : { network: networkOf(address) }),
    ...(minSeverity === undefined ? {} : { severities: SEVERITIES.slice(SEVERITIES.indexOf(minSeverity)) }),
  }
}

/** The names of the filters that are set, without their values: those may tell of people. */
export const namesOf = (query: object): string[] =>
  Object.keys(query).filter((name) => !['limit', 'cursor', 'format', 'compression', 'afterId'].includes(name))

function actionsOf(text: string): Pick<EventFilter, 'actions' | 'actionPrefixes'> {
  const parts = text.split(',').map((part) => part.trim())
  if (parts.includes('')) throw invalid('action', 'names no action between two commas')
  const prefixes = parts.filter((part) => part.endsWith('.*')).map((part) => part.slice(0, -1))
  const actions = parts.filter((part) => !part.endsWith('.*'))
  return {
    ...(actions.length > 0 ? { actions } : {}),
    ...(prefixes.length > 0 ? { actionPrefixes: prefixes } : {}),
  }
}

function networkOf(text: string): string {
  const [address = '', prefix, ...rest] = text.split('/')
  const version = isIP(address)
  const longest = version === 4 ? 32 : 128
  const isPrefix = prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= longest)
  if (version === 0 || address.includes('%') || !isPrefix || rest.length > 0) {
    throw invalid('address', 'is neither an IP address nor a network such as 192.0.2.0/24')
  }
  return `${address}/${prefix ?? longest}`
}

export const invalid = (name: string, message: string) =>
  requestErrors.invalid({ errors: [{ path: `/query/${name}`, message }] })

/** The window that is asked for, else the last 30 days; `start` is its beginning where none is given. */
export function windowOf(
  clock: Clock,
  asked: { from?: string | undefined; to?: string | undefined },
  start?: Date | undefined,
): TimeWindow {
  const now = clock.now().getTime()
  const to = asked.to === undefined ? new Date(now + CLOCK_SKEW_MS) : new Date(asked.to)
  const before = asked.to === undefined ? now : to.getTime()
  // Nothing is older than the epoch, and the year before the first has no text that others read.
  const usual = start ?? new Date(Math.max(0, before - DEFAULT_WINDOW_MS))
  const from = asked.from === undefined ? new Date(Math.min(usual.getTime(), to.getTime())) : new Date(asked.from)
  if (!(from <= to)) {
    const message = 'must not be after `to`'
    throw auditErrors.badWindow({ errors: [{ path: '/query/from', message }] })
  }
  return { from, to }
}

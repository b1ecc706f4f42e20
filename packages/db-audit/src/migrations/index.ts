import type { Migration } from '../migrate.ts'
import { createEvents } from './0001-events.ts'
import { chainEvents } from './0002-chain.ts'
import { addAnalytics } from './0003-analytics.ts'
import { createLogs } from './0004-logs.ts'
import { boundLogs } from './0005-log-retention.ts'
import { addSearch } from './0006-search.ts'

/** In the order of their versions. What has been released is never changed: a change is a migration of its own. */
export const migrations: Migration[] = [createEvents, chainEvents, addAnalytics, createLogs, boundLogs, addSearch]

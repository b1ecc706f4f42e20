import type { ServerDetails } from '@conntext/db-server-details'

/** An open transaction on the Server Details database: queries take it, and so does the outbox. */
export type Transaction = Parameters<Parameters<ServerDetails['transaction']>[0]>[0]

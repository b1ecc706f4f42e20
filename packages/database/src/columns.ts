import { customType, timestamp } from 'drizzle-orm/pg-core'

export const bytea = customType<{ data: Uint8Array; driverData: Uint8Array }>({ dataType: () => 'bytea' })

/** A moment, to the millisecond: what a `Date` holds, so that a value read compares equal to the one written. */
export const time = (name: string) => timestamp(name, { withTimezone: true, precision: 3, mode: 'date' })

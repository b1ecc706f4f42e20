import { type Static, Type } from '@sinclair/typebox'

export * from './backups/settings.ts'

/** How the system service reaches ClickHouse: alone, or with the others in one process. */
export const clickHouseSettings = {
  CONNTEXT_CLICKHOUSE_URL: Type.Optional(Type.String({ pattern: '^https?://', expects: 'an http:// or https:// URL' })),
  CONNTEXT_CLICKHOUSE_USER: Type.String({ default: 'default' }),
  CONNTEXT_CLICKHOUSE_PASSWORD: Type.String({ default: '' }),
}

/** Where checkpoints of the audit log are kept by themselves. */
export const auditSettings = { CONNTEXT_AUDIT_CHECKPOINT_DIRECTORY: Type.Optional(Type.String()) }

const Settings = Type.Object(clickHouseSettings)

export type ClickHouseConfig = { url: string; username: string; password: string }

/** Undefined where none is set. */
export const toClickHouseConfig = (env: Static<typeof Settings>): ClickHouseConfig | undefined =>
  env.CONNTEXT_CLICKHOUSE_URL === undefined
    ? undefined
    : {
        url: env.CONNTEXT_CLICKHOUSE_URL,
        username: env.CONNTEXT_CLICKHOUSE_USER,
        password: env.CONNTEXT_CLICKHOUSE_PASSWORD,
      }

import { authRules, authSettings, SetupCode, toAuthConfig } from '@conntext/auth/settings'
import { type GatewayConfig, gatewaySettings, toGatewayConfig } from '@conntext/gateway/settings'
import {
  type Environment,
  type LogLevel,
  LogLevelSetting,
  parseConfig,
  readEnvironment,
  unknownSettings,
} from '@conntext/kernel'
import { messagingRules, messagingSettings, toMessagingConfig } from '@conntext/messaging/settings'
import type { S3Options } from '@conntext/object-store'
import { type RealtimeConfig, realtimeRules, realtimeSettings, toRealtimeConfig } from '@conntext/realtime/settings'
import {
  auditSettings,
  type BackupConfig,
  backupRules,
  backupSettings,
  clickHouseSettings,
  toBackupConfig,
  toClickHouseConfig,
} from '@conntext/system/settings'
import { type TraceConfig, traceSettings } from '@conntext/telemetry'
import { Type } from '@sinclair/typebox'

/** Every setting of the all-in-one server: those of the five services, and those of the whole. */
export const Settings = Type.Object({
  ...gatewaySettings.properties,
  ...authSettings,
  ...clickHouseSettings,
  ...auditSettings,
  ...backupSettings,
  ...messagingSettings,
  ...realtimeSettings,
  CONNTEXT_DATA: Type.String({ default: './data' }),
  CONNTEXT_SETUP_CODE: Type.Optional(SetupCode),
  CONNTEXT_LOG_LEVEL: LogLevelSetting,
  ...traceSettings,
})

export type ServerConfig = {
  gateway: GatewayConfig
  data: string
  setupCode: string | undefined
  logLevel: LogLevel
  traces: TraceConfig
  /** Where people reach the server, for links in mails and logins elsewhere; without a path. */
  publicUrl: string
  /** Origins besides the server's own that results of OpenID Connect logins may go to. */
  oidcReturnOrigins: string[]
  /** Where passkeys belong, where the public URL doesn't say it all. */
  webauthn: { rpId: string | undefined; origins: string[] }
  /** The mail server; without one, mails are shown on the console. */
  smtp: { url: string; from: string } | undefined
  /** An engine to use instead of the embedded one. */
  clickhouse: { url: string; username: string; password: string } | undefined
  /** Where files are kept, instead of the data directory. */
  s3: S3Options | undefined
  /** How many bytes of files may be stored for one person, and in all. */
  quotas: { person: number | undefined; server: number | undefined }
  /** How often each webhook may write. */
  webhookRate: { perSecond: number; burst: number }
  realtime: RealtimeConfig
  backups: BackupConfig
  /** Where checkpoints of the audit log are kept by themselves. */
  checkpointDirectory: string | undefined
  /** Variables that look like settings and are none: misspelt, most likely. */
  unknown: string[]
}

/**
 * Reads the configuration once: from the environment, and below it from the file that `CONNTEXT_CONFIG` names
 * (`NAME=value` lines).
 * @throws ConfigError that names every fault at once, and no value.
 */
export function loadConfig(environment: Environment): ServerConfig {
  const all = readEnvironment(environment)
  const env = parseConfig(Settings, all, [...authRules, ...messagingRules, ...realtimeRules, ...backupRules])
  const gateway = toGatewayConfig(env)
  return {
    gateway,
    data: env.CONNTEXT_DATA,
    setupCode: env.CONNTEXT_SETUP_CODE,
    logLevel: env.CONNTEXT_LOG_LEVEL,
    traces: env,
    ...toAuthConfig(env, { publicUrl: `http://localhost:${gateway.port}` }),
    clickhouse: toClickHouseConfig(env),
    ...toMessagingConfig(env),
    realtime: toRealtimeConfig(env),
    backups: toBackupConfig(env),
    checkpointDirectory: env.CONNTEXT_AUDIT_CHECKPOINT_DIRECTORY,
    unknown: unknownSettings(Settings.properties, all),
  }
}

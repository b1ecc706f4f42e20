import { ConfigError } from '@conntext/kernel'
import type { SmtpMailer } from '@conntext/mailer'
import type { ServerConfig } from '../../config.ts'
import { openBucket } from '../../stores.ts'
import { type Check, fault, ok, warning } from './finding.ts'

const WITHIN_MS = 5_000

const because = (error: unknown): string => {
  const { code, message } = ((error as Error).cause ?? error) as { code?: string; message?: string }
  return code ?? message ?? 'unknown'
}

export const clickhouse = ({ url, username, password }: NonNullable<ServerConfig['clickhouse']>): Check => ({
  about: 'ClickHouse',
  async run() {
    const remedy = 'Start it, or correct CONNTEXT_CLICKHOUSE_URL, _USER and _PASSWORD.'
    const answer = await fetch(url, {
      method: 'POST',
      body: 'select version()',
      headers: { 'x-clickhouse-user': username, 'x-clickhouse-key': password },
      signal: AbortSignal.timeout(WITHIN_MS),
    }).catch((error: unknown) => because(error))
    if (typeof answer === 'string') return fault(`nothing answers (${answer})`, remedy)
    return answer.ok ? ok((await answer.text()).trim()) : fault(`it refuses us (${answer.status})`, remedy)
  },
})

export const objectStore = (s3: NonNullable<ServerConfig['s3']>): Check => ({
  about: 'object store',
  async run() {
    try {
      await (await openBucket(s3)).check()
      return ok('files can be stored and fetched')
    } catch (error) {
      const told =
        error instanceof ConfigError ? error.faults.map((f) => `${f.setting} ${f.message}`).join('; ') : because(error)
      return fault(told, 'Start it, or correct the settings CONNTEXT_S3_*.')
    }
  },
})

export const mail = (mailer: SmtpMailer | undefined): Check => ({
  about: 'mail',
  async run() {
    if (!mailer) {
      return warning('none is sent: it is shown on the console', 'Set CONNTEXT_SMTP_URL and CONNTEXT_MAIL_FROM.')
    }
    try {
      await mailer.check()
      return ok('the mail server lets us in')
    } catch (error) {
      return fault(`the mail server doesn't let us in (${because(error)})`, 'Correct CONNTEXT_SMTP_URL.')
    }
  },
})

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { realtimePort, type VoiceFinding } from '@conntext/contracts'
import { visitDataDirectory } from '@conntext/embedded'
import { callPort } from '@conntext/http'
import { AppError, ConfigError, type Environment, parseConfig, readEnvironment } from '@conntext/kernel'
import { examineVoiceAlone } from '@conntext/realtime/selftest'
import { addressSettings, createTransport, credentialsOf, processSettings, urlsOf } from '@conntext/runtime'
import { Type } from '@sinclair/typebox'
import { loadConfig, type ServerConfig } from '../../config.ts'
import { callOperatorDoor } from '../../operator-door.ts'
import { isSplit } from '../split-place.ts'
import type { Finding } from './finding.ts'

const PATIENCE_MS = 5_000

type Nodes = { nodeId: string; findings: VoiceFinding[] }[]

/**
 * Whether media gets to the server, as the server itself finds it; of one that doesn't run, with media workers of this
 * command's own.
 */
export async function examineVoiceOf(env: Environment): Promise<Finding[]> {
  try {
    return isSplit(env) ? await ofSplit(env) : await ofOneProcess(loadConfig(env))
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const remedy = 'The server does not start with it: correct it.'
    return error.faults.map(({ setting, message }) => ({
      ...{ about: 'configuration', state: 'fault' as const, told: `${setting} ${message}`, remedy },
    }))
  }
}

async function ofOneProcess(config: ServerConfig): Promise<Finding[]> {
  const door = existsSync(join(config.data, 'lock.db')) ? callOperatorDoor(visitDataDirectory(config.data)) : undefined
  const found = await door?.voiceSelfTest({}).catch((error: unknown) => {
    // What the last start has left behind.
    if (error instanceof AppError && error.code === 'dependency.away') return undefined
    throw error
  })
  if (found) return [ok('server', 'runs, and was asked'), ...flat(found.nodes)]
  const findings = await examineVoiceAlone(config.realtime)
  return [ok('server', 'does not run: tested with media workers of this command’s own'), ...findings.map(toFinding)]
}

const Settings = Type.Object({
  CONNTEXT_REALTIME_URL: addressSettings(['realtime']).CONNTEXT_REALTIME_URL!,
  CONNTEXT_SERVICE_CREDENTIAL: processSettings.CONNTEXT_SERVICE_CREDENTIAL,
})

async function ofSplit(environment: Environment): Promise<Finding[]> {
  const env = parseConfig(Settings, readEnvironment(environment))
  const credential = credentialsOf(env.CONNTEXT_SERVICE_CREDENTIAL).shown
  const urls = urlsOf(env.CONNTEXT_REALTIME_URL)
  const transport = createTransport({ service: 'realtime', urls, credential, patienceMs: PATIENCE_MS })
  const port = callPort(realtimePort, { transport, credential })
  try {
    return flat((await port.voiceSelfTest({})).nodes)
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    const remedy = 'See that realtime runs, and that CONNTEXT_REALTIME_URL and CONNTEXT_SERVICE_CREDENTIAL are right.'
    return [{ about: 'realtime', state: 'fault', told: error.detail ?? error.title, remedy }]
  }
}

const ok = (about: string, told: string): Finding => ({ about, state: 'ok', told })

/** Of several nodes each says which it is. */
const flat = (nodes: Nodes): Finding[] =>
  nodes.flatMap(({ nodeId, findings }) =>
    findings.map((one) => {
      const finding = toFinding(one)
      return nodes.length === 1 ? finding : { ...finding, about: `${finding.about} (node ${nodeId})` }
    }),
  )

const toFinding = ({ remedy, ...finding }: VoiceFinding): Finding =>
  remedy === null ? finding : { ...finding, remedy }

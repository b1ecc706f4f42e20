import { dirname, resolve } from 'node:path'
import { parse } from 'yaml'

export type Condition = 'service_started' | 'service_healthy' | 'service_completed_successfully'

/** A service as a compose file has it, with everything filled in. */
export interface ComposeService {
  name: string
  image: string
  /** Whether its image is made from this repository. */
  built: boolean
  entrypoint: string[] | undefined
  command: string[]
  environment: Record<string, string>
  /** Names of the secrets that it may read, at `/run/secrets/<name>`. */
  secrets: string[]
  dependsOn: Record<string, Condition>
  networks: string[]
  /** As written: `80:80`, `443:443/udp`. */
  ports: string[]
  profiles: string[]
  /** Files and folders of the host that it sees: where it sees them, and where they are. */
  binds: Map<string, string>
  /** All that the file says of it. */
  raw: Record<string, unknown>
}

export interface Compose {
  name: string
  services: Map<string, ComposeService>
  /** Where the file of each secret is. */
  secrets: Map<string, string>
  networks: Map<string, { internal: boolean }>
  volumes: string[]
}

/** What a compose file can't be read for: its message says which service and what. */
export class ComposeError extends Error {}

type Env = Record<string, string | undefined>
type Raw = Record<string, unknown>

/**
 * Reads a compose file as `docker compose` does: anchors, merges, variables, short forms. What ConnText's own files don't
 * use isn't known here.
 * @param env what variables stand for
 * @throws ComposeError
 */
export function readCompose(text: string, file: string, env: Env): Compose {
  const document = interpolate(parse(text, { merge: true }), env) as Raw
  const folder = dirname(resolve(file))
  const path = (relative: string) => resolve(folder, relative)
  const services = Object.entries(document.services as Record<string, Raw>)
  const secrets = Object.entries((document.secrets ?? {}) as Record<string, { file: string }>)
  const networks = Object.entries((document.networks ?? {}) as Record<string, { internal?: boolean } | null>)
  return {
    name: String(document.name ?? ''),
    services: new Map(services.map(([name, raw]) => [name, toService(name, raw, path)])),
    secrets: new Map(secrets.map(([name, { file }]) => [name, path(file)])),
    networks: new Map(networks.map(([name, network]) => [name, { internal: network?.internal === true }])),
    volumes: Object.keys((document.volumes ?? {}) as Raw),
  }
}

function toService(name: string, raw: Raw, path: (relative: string) => string): ComposeService {
  const environment = Object.entries((raw.environment ?? {}) as Record<string, unknown>)
  return {
    name,
    image: String(raw.image ?? ''),
    built: raw.build !== undefined,
    entrypoint: raw.entrypoint === undefined ? undefined : strings(raw.entrypoint),
    command: strings(raw.command),
    environment: Object.fromEntries(environment.map(([key, value]) => [key, String(value ?? '')])),
    secrets: strings(raw.secrets),
    dependsOn: dependencies(raw.depends_on),
    networks: Array.isArray(raw.networks) ? strings(raw.networks) : Object.keys((raw.networks ?? {}) as Raw),
    ports: strings(raw.ports),
    profiles: strings(raw.profiles),
    binds: bindsOf(strings(raw.volumes), path),
    raw,
  }
}

const strings = (value: unknown): string[] =>
  value === undefined || value === null ? [] : [value].flat().map((one) => String(one))

function dependencies(value: unknown): Record<string, Condition> {
  if (Array.isArray(value)) return Object.fromEntries(value.map((name) => [String(name), 'service_started']))
  const entries = Object.entries((value ?? {}) as Record<string, { condition?: Condition }>)
  return Object.fromEntries(entries.map(([name, { condition }]) => [name, condition ?? 'service_started']))
}

function bindsOf(volumes: string[], path: (relative: string) => string): Map<string, string> {
  const binds = volumes.map((volume) => volume.split(':')).filter(([source]) => source?.startsWith('.'))
  return new Map(binds.map(([source, target]) => [target!, path(source!)]))
}

/** Every text of a document with its variables filled in. @throws ComposeError */
export function interpolate(value: unknown, env: Env): unknown {
  if (typeof value === 'string') return fill(value, env)
  if (Array.isArray(value)) return value.map((one) => interpolate(one, env))
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, interpolate(one, env)]))
}

const VARIABLE = /\$(?:\$|([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?:(:?[-?])([^}]*))?\})/g

function fill(text: string, env: Env): string {
  return text.replace(VARIABLE, (whole, bare?: string, braced?: string, operator?: string, operand = '') => {
    if (whole === '$$') return '$'
    const name = bare ?? braced!
    const value = env[name]
    const missing = value === undefined || (value === '' && operator?.startsWith(':') === true)
    if (!missing) return value
    if (operator?.endsWith('?')) throw new ComposeError(`${name} is missing: ${operand}`)
    return operator === undefined ? '' : operand
  })
}

/**
 * The services in an order in which each comes after those that it depends on.
 * @throws ComposeError where they depend on one another in a circle, or on one that isn't there
 */
export function startOrder(services: ReadonlyMap<string, Pick<ComposeService, 'dependsOn'>>): string[] {
  const order: string[] = []
  const visit = (name: string, trail: string[]) => {
    if (order.includes(name)) return
    if (trail.includes(name)) throw new ComposeError(`a circle of dependencies: ${[...trail, name].join(' → ')}`)
    const service = services.get(name)
    if (!service) throw new ComposeError(`${trail.at(-1)} depends on ${name}, which there is not`)
    for (const next of Object.keys(service.dependsOn)) visit(next, [...trail, name])
    order.push(name)
  }
  for (const name of services.keys()) visit(name, [])
  return order
}

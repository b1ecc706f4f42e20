export type Destination = 'auth' | 'system' | 'messaging' | 'realtime' | 'gateway'

const AUTH = ['auth', 'users', 'members', 'roles', 'permissions', 'bans', 'bots']
const SYSTEM = ['server', 'invites', 'audit', 'logs', 'system']
const MESSAGING = ['uploads', 'media', 'dms', 'blocks', 'search', 'unread', 'library', 'webhooks', 'calls']
const REALTIME = ['voice']

const table = new Map<string, Destination>([
  ...AUTH.map((name) => [name, 'auth'] as const),
  ...SYSTEM.map((name) => [name, 'system'] as const),
  ...MESSAGING.map((name) => [name, 'messaging'] as const),
  ...REALTIME.map((name) => [name, 'realtime'] as const),
  ['gateway', 'gateway'],
  ['presences', 'gateway'],
])

const OWN = /^\/(livez|readyz|metrics|openapi\.json|asyncapi\.yaml|docs(\/.*)?|verify-email|reset-password)$/

/** Which service a path belongs to; undefined for one that is nobody's. */
export function destinationOf(path: string): Destination | undefined {
  if (!path.startsWith('/v1/')) {
    if (path === '/.well-known/jwks.json') return 'auth'
    return OWN.test(path) ? 'gateway' : undefined
  }
  const end = path.indexOf('/', 4)
  const resource = end === -1 ? path.slice(4) : path.slice(4, end)
  return resource === 'channels' ? channelDestination(path, end) : table.get(resource)
}

/** What lies under a channel is split: the channel itself is system's, its messages messaging's, its call realtime's. */
function channelDestination(path: string, idStart: number): Destination {
  const idEnd = idStart === -1 ? -1 : path.indexOf('/', idStart + 1)
  if (idEnd === -1) return 'system'
  const end = path.indexOf('/', idEnd + 1)
  const part = end === -1 ? path.slice(idEnd + 1) : path.slice(idEnd + 1, end)
  if (part === '' || part === 'overrides') return 'system'
  return part === 'call' ? 'realtime' : 'messaging'
}

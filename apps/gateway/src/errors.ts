import { AppError, defineErrors } from '@conntext/kernel'

export const gatewayErrors = defineErrors('gateway', {
  badPath: { status: 400, title: 'The address of the request is not valid' },
  urlTooLong: { status: 413, title: 'The address of the request is too long' },
  originRefused: { status: 403, title: 'This origin may not connect' },
  full: { status: 503, title: 'The gateway takes no more connections for the moment' },
  draining: { status: 503, title: 'The gateway is shutting down' },
  notIdentified: { status: 401, title: 'The connection has not identified itself' },
  alreadyIdentified: { status: 409, title: 'The connection has identified itself already' },
  tooManyConnections: { status: 429, title: 'The account has too many connections' },
  notATextChannel: { status: 409, title: 'Messages are for text channels' },
  invalidFrame: { status: 422, title: 'The frame is not valid' },
})

/** What a plain request for the WebSocket's address gets. */
export const upgradeRequired = (): AppError =>
  new AppError('gateway.upgradeRequired', 426, 'This address speaks WebSocket')

const READING = new Set(['GET', 'HEAD', 'OPTIONS'])

/** What goes on besides reading: one comes in, stays in, and gets rid of a session that somebody else may have. */
export const GOES_ON: ReadonlySet<string> = new Set([
  'login',
  'loginWithTotp',
  'loginWithRecoveryCode',
  'startPasskeyLogin',
  'loginWithPasskey',
  'exchangeOidcCode',
  'refresh',
  'logout',
  'endSession',
  'endOtherSessions',
])

/** Whether an operation may change something, and so waits until maintenance is over. */
export const waitsForMaintenance = (method: string, operationId: string): boolean =>
  !READING.has(method) && !GOES_ON.has(operationId)

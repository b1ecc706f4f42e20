// Whoever knows a webhook's address can write by it.
const WEBHOOK = /^(\/v1\/webhooks\/[^/]+\/)[^/]+/

/** A request's path as it may be logged: without what in it is a secret. */
export const loggedPath = (path: string): string => path.replace(WEBHOOK, '$1…')

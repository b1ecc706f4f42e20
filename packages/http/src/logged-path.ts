// Whoever knows a webhook's address can write by it. What comes after the id is the secret, however it is written.
const WEBHOOK = /^(\/+v1\/+webhooks\/+)([0-9a-f-]{36}(?![^/]))?(.*)$/i

// An invite's code lets people in. What is deleted is named by its id.
const INVITE = /^(\/+v1\/+invites\/+)(?![0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$)[^/]+(\/.*)?$/i

/** A request's path as it may be logged: without what in it is a secret. */
export const loggedPath = (path: string): string =>
  path
    .replace(INVITE, (_, start: string, rest = '') => `${start}…${rest}`)
    .replace(WEBHOOK, (_, start: string, id = '', rest: string) => {
      const hidden = id === '' ? '…' : '/…'
      return start + id + (rest === '' ? '' : hidden)
    })

import { deriveKey, seal, unseal } from '@conntext/kernel'

const KEY_BYTES = 32

/**
 * The master key, 32 bytes; or a look at those that may be in force, the likeliest first: while it is being changed
 * there are two of them, and a server that runs on takes the new one up by looking again.
 */
export type MasterKey = Uint8Array | (() => Uint8Array[])

export const candidates = (masterKey: MasterKey): Uint8Array[] =>
  (typeof masterKey === 'function' ? masterKey() : [masterKey]).map((key) => {
    if (key.length !== KEY_BYTES) throw new Error(`The master key must be ${KEY_BYTES} bytes`)
    return key
  })

export const newKey = (): Uint8Array => crypto.getRandomValues(new Uint8Array(KEY_BYTES))

const wrappingKey = (masterKey: Uint8Array, service: string) => deriveKey(masterKey, `${service}/data-keys`)
const context = (id: string) => `data-key:${id}`

/** Wraps one service's data key: what was wrapped for one row or service opens no other's. */
export const wrap = (masterKey: Uint8Array, service: string, row: { id: string; key: Uint8Array }): Buffer =>
  seal(wrappingKey(masterKey, service), row.key, context(row.id))

/** The data key, and which master key opened it; undefined where none of them does. */
export function unwrap(
  masterKeys: Uint8Array[],
  service: string,
  row: { id: string; wrapped: Uint8Array },
): { key: Uint8Array; masterKey: Uint8Array } | undefined {
  for (const masterKey of masterKeys) {
    try {
      return { key: unseal(wrappingKey(masterKey, service), row.wrapped, context(row.id)), masterKey }
    } catch {
      // It may be the next one's.
    }
  }
  return undefined
}

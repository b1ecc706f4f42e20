/** Base of every failure this package raises on purpose; `code` is stable and safe to switch on. */
export abstract class ObjectStoreError extends Error {
  abstract readonly code: string
  override get name() {
    return this.constructor.name
  }
}

/** No object under this key. */
export class ObjectNotFound extends ObjectStoreError {
  readonly code = 'object_not_found'
  constructor(readonly key: string) {
    super(`No object under the key ${key}`)
  }
}

/** The key breaks the rules in `keys.ts`. The key itself is left out: it may be hostile text. */
export class InvalidKey extends ObjectStoreError {
  readonly code = 'invalid_key'
  constructor(reason: string) {
    super(`Not a valid object key: ${reason}`)
  }
}

/** The body is larger than the caller's `maxBytes`. Nothing was stored. */
export class ObjectTooLarge extends ObjectStoreError {
  readonly code = 'object_too_large'
  constructor(readonly maxBytes: number) {
    super(`The object is larger than the ${maxBytes} bytes allowed`)
  }
}

/** The range starts at or after the object's end (HTTP 416); `size` is the object's, in bytes. */
export class RangeNotSatisfiable extends ObjectStoreError {
  readonly code = 'range_not_satisfiable'
  constructor(readonly size: number) {
    super(`The range lies outside the object, which has ${size} bytes`)
  }
}

/** The bytes belong elsewhere in the upload: it stands at `offset`. */
export class WrongOffset extends ObjectStoreError {
  readonly code = 'wrong_offset'
  constructor(readonly offset: number) {
    super(`The upload stands at ${offset} bytes`)
  }
}

/** The disk or the quota is full. Nothing was stored, and what was stored before is untouched. */
export class ObjectStoreFull extends ObjectStoreError {
  readonly code = 'object_store_full'
  constructor(options?: ErrorOptions) {
    super('The object store has no space left', options)
  }
}

/** The store can't be used at all: not a directory, not writable, or the probe read back something else. */
export class ObjectStoreUnavailable extends ObjectStoreError {
  readonly code = 'object_store_unavailable'
}

/** The store answers, and doesn't want us: the operator has to change `reason`. Says nothing of the credentials. */
export class ObjectStoreRefused extends ObjectStoreError {
  readonly code = 'object_store_refused'
  constructor(
    readonly reason: 'credentials' | 'bucket' | 'region',
    /** The store's own error code, such as `SignatureDoesNotMatch`. */
    readonly answer: string,
  ) {
    super(`The object store refuses the ${reason} (${answer})`)
  }
}

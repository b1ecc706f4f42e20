/** Bytes `start` to `end`, both included and counted from 0, as in HTTP. Without `end`: to the object's end. */
export interface ByteRange {
  start: number
  end?: number
}

export interface PutOptions {
  /** Refuses more bytes than this with `ObjectTooLarge`. Default: no limit. */
  maxBytes?: number
  /** Gives up, and removes what was written so far. */
  signal?: AbortSignal
}

export interface StoredObject {
  /** Bytes. */
  size: number
  /** SHA-256 of the content, 64 lower-case hex digits. */
  sha256: string
  /** Opaque; changes with each `put` of the key. */
  etag: string
}

export interface ObjectInfo {
  key: string
  /** Bytes of the whole object. */
  size: number
  /** Equal to what `put` returned for this content. */
  etag: string
  lastModified: Date
}

export interface ObjectBody extends ObjectInfo {
  /** Must be read to its end or cancelled: until then it holds a descriptor or a connection. */
  body: ReadableStream<Uint8Array>
  /** The bytes that `body` carries, both ends included; `undefined` for an empty object. */
  range: { start: number; end: number } | undefined
  /** Bytes that `body` carries. */
  contentLength: number
}

export interface ListOptions {
  /** Only keys that begin with this text. */
  prefix?: string
  /** Only keys after this one: the `cursor` of the page before. */
  cursor?: string
  /** 1 to 1,000; default 1,000. */
  limit?: number
}

export interface ObjectPage {
  /** In ascending order of their keys' bytes. */
  objects: ObjectInfo[]
  /** Present when there may be more. */
  cursor?: string
}

/**
 * Where media bytes live. A stored object is complete and durable, or it isn't there: nobody ever sees half of one.
 * Keys: `[a-z0-9/_.-]`, up to 512 bytes, segments of up to 200; see `assertKey`. Every method may raise `InvalidKey`.
 */
export interface ObjectStore {
  /**
   * Stores a body under a key, replacing what was there; memory use doesn't depend on its size. The object survives a
   * power cut once this resolves. An error of the source, an abort and `ObjectTooLarge` leave the old object as it was.
   */
  put(key: string, body: ReadableStream<Uint8Array> | Uint8Array, options?: PutOptions): Promise<StoredObject>
  /** Opens an object for reading. `ObjectNotFound`, or `RangeNotSatisfiable` when the range starts past the end. */
  get(key: string, options?: { range?: ByteRange }): Promise<ObjectBody>
  /**
   * The object as a file of this machine, where the store keeps objects so: it can be sent without passing through our
   * memory, and with its length. Opened when it is read; deleted before that, reading it fails. `ObjectNotFound`.
   */
  file?(key: string): Promise<Blob>
  /** What `get` would say, without the body. `ObjectNotFound`. */
  head(key: string): Promise<ObjectInfo>
  /** Removes the object; no error when there is none. Readers that have it open may finish. */
  delete(key: string): Promise<void>
  list(options?: ListOptions): Promise<ObjectPage>
  /** Removes what interrupted uploads left behind and nobody touched for this long. Returns how many. */
  sweepTemporary(olderThanMs: number): Promise<number>
  /** Writes, reads back and deletes a probe. Resolves when the store works; otherwise throws. For readiness. */
  check(): Promise<void>
}

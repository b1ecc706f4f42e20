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
  /** Opaque; another one for other content. */
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

export interface AppendOptions {
  /** Where the bytes belong: `WrongOffset` unless it is where the upload stands. */
  at: number
  /** Takes no more bytes than this: what fits is kept, and `ObjectTooLarge` is thrown. Default: no limit. */
  maxBytes?: number
  /** Gives up; what arrived before is kept. */
  signal?: AbortSignal
}

/** What an upload that was begun is found again by. */
export interface UploadAddress {
  key: string
  /** Opaque: what `beginUpload` answered. */
  handle: string
}

/**
 * An object that arrives in parts, over many requests, processes and days, until it is whole. Nobody sees it under its
 * key before. One call at a time for one upload: to see to that is the caller's.
 */
export interface PendingUpload {
  /**
   * How many bytes are there for good: all of them survive a power cut. Of an upload that is complete, the object's
   * size. `ObjectNotFound` where there is neither.
   */
  offset(): Promise<number>
  /**
   * Adds a body's bytes at the end, in bounded memory; resolves, once they are there for good, with where it then stands.
   * A source that fails, an abort and `ObjectTooLarge` leave what arrived before them.
   */
  append(body: ReadableStream<Uint8Array> | Uint8Array, options: AppendOptions): Promise<number>
  /** Makes it the object under its key, replacing what was there. May be repeated, also after half of it. */
  complete(): Promise<StoredObject>
  /** Gives it up, and frees its space; nothing happens where it is complete, or gone. */
  abort(): Promise<void>
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
  /** Begins an object that arrives in parts. It survives restarts; answers the handle by which it is opened again. */
  beginUpload(key: string): Promise<string>
  /** One that was begun. Fails, where there is none, only when it is used. */
  openUpload(address: UploadAddress): PendingUpload
  /** All that were begun, and neither completed nor aborted; `lastModified` is the time of their last bytes, or before. */
  listUploads(): AsyncIterable<UploadAddress & { lastModified: Date }>
  /** Removes what interrupted `put`s left behind and nobody touched for this long. Returns how many. */
  sweepTemporary(olderThanMs: number): Promise<number>
  /** Writes, reads back and deletes a probe. Resolves when the store works; otherwise throws. For readiness. */
  check(): Promise<void>
}

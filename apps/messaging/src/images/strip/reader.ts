import type { ObjectStore } from '@conntext/object-store'

const WINDOW = 256 * 1024

/** The bytes of a picture can't be made out as what its type says. */
export class UnreadablePicture extends Error {
  override name = 'UnreadablePicture'
}

/** An object's bytes, wherever one looks; the window around the last look is kept. */
export class ObjectReader {
  #window: Buffer = Buffer.alloc(0)
  #start = 0

  constructor(
    private readonly objects: Pick<ObjectStore, 'get'>,
    private readonly key: string,
    readonly size: number,
  ) {}

  /** These bytes; fewer where the object ends. Valid until the next call. */
  async read(offset: number, length: number): Promise<Buffer> {
    const end = Math.min(offset + length, this.size)
    if (offset >= end) return Buffer.alloc(0)
    if (offset < this.#start || end > this.#start + this.#window.length) {
      this.#window = await this.#fetch(offset, Math.min(this.size, offset + Math.max(WINDOW, length)))
      this.#start = offset
    }
    return this.#window.subarray(offset - this.#start, end - this.#start)
  }

  /** These bytes, all of them. @throws UnreadablePicture where the object ends before */
  async exactly(offset: number, length: number): Promise<Buffer> {
    const bytes = await this.read(offset, length)
    if (bytes.length < length) throw new UnreadablePicture('it ends too early')
    return bytes
  }

  async #fetch(start: number, end: number): Promise<Buffer> {
    const { body } = await this.objects.get(this.key, { range: { start, end: end - 1 } })
    return Buffer.from(await new Response(body).arrayBuffer())
  }
}

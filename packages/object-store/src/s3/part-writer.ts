/** S3 takes 10,000 parts: up to 78 GiB an object. */
const partBytes = 8 * 2 ** 20
const firstBytes = 64 * 1024

/**
 * Cuts what is written to it into parts of 8 MiB, of which one is on its way while the next is gathered: two buffers,
 * whatever the size of the whole. `failed` hears at once of a part that could not be sent.
 */
export class PartWriter {
  readonly #buffers: [Buffer, Buffer] = [Buffer.alloc(0), Buffer.alloc(0)]
  #turn: 0 | 1 = 0
  #filled = 0
  #sending: Promise<void> = Promise.resolve()

  constructor(
    /** The bytes are valid until it resolves. */
    private readonly send: (part: Buffer) => Promise<void>,
    private readonly failed: (error: unknown) => void,
  ) {}

  /** Resolves when there is room for more. Fails when a part could not be sent. */
  async write(chunk: Uint8Array): Promise<void> {
    for (let offset = 0; offset < chunk.byteLength; ) {
      const piece = chunk.subarray(offset, offset + partBytes - this.#filled)
      this.#reserve(this.#filled + piece.byteLength)
      this.#buffers[this.#turn].set(piece, this.#filled)
      this.#filled += piece.byteLength
      offset += piece.byteLength
      if (this.#filled === partBytes) await this.sendRest()
    }
  }

  /** Sends what is gathered, as a part of its own. */
  async sendRest(): Promise<void> {
    await this.#sending
    this.#sending = this.send(this.rest())
    this.#sending.catch(this.failed)
    this.#turn = this.#turn === 0 ? 1 : 0
    this.#filled = 0
  }

  /** Waits for what is on its way. Fails when it could not be sent. */
  async flush(): Promise<void> {
    await this.#sending
  }

  /** What is gathered and not yet sent. */
  rest(): Buffer {
    return this.#buffers[this.#turn].subarray(0, this.#filled)
  }

  /** Small bodies get small buffers. */
  #reserve(needed: number): void {
    const buffer = this.#buffers[this.#turn]
    if (needed <= buffer.length) return
    const grown = Buffer.allocUnsafe(Math.min(partBytes, Math.max(firstBytes, needed, 4 * buffer.length)))
    grown.set(buffer.subarray(0, this.#filled))
    this.#buffers[this.#turn] = grown
  }
}

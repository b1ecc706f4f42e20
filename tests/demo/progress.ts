const WIDTH = 30
const REDRAW_MS = 100
// On what is no terminal: so many lines for the whole.
const LINES = 4

/**
 * Shows how far something has got: a bar on a terminal, a few plain lines elsewhere. Call `step` for each one that is
 * done, and `end` before anything else is printed.
 */
export class Progress {
  readonly #began = performance.now()
  #done = 0
  #drawn = 0
  #lines = 0

  constructor(
    private readonly what: string,
    private readonly total: number,
    private readonly out: { isTTY?: boolean; columns?: number; write(text: string): unknown } = process.stdout,
  ) {}

  step(): void {
    this.#done += 1
    if (this.out.isTTY) this.#draw()
    else this.#tell()
  }

  end(): void {
    if (this.out.isTTY) this.out.write('\r\x1b[2K')
  }

  #draw(): void {
    const now = performance.now()
    if (now - this.#drawn < REDRAW_MS && this.#done < this.total) return
    this.#drawn = now
    const filled = Math.round((this.#done / this.total) * WIDTH)
    const line = `${'█'.repeat(filled)}${'░'.repeat(WIDTH - filled)} ${this.#text()}`
    this.out.write(`\r\x1b[2K${line.slice(0, (this.out.columns || 80) - 1)}`)
  }

  #tell(): void {
    const line = Math.floor((this.#done / this.total) * LINES)
    if (line === this.#lines) return
    this.#lines = line
    this.out.write(`          ${this.#text()}\n`)
  }

  #text(): string {
    const rate = Math.round(this.#done / ((performance.now() - this.#began) / 1000))
    return `${this.#done} of ${this.total} ${this.what} (${rate}/s)`
  }
}

/** Lets so many run at once, and so many for each person; whoever comes beyond that is sent away, not kept waiting. */
export class Bounded {
  readonly #holders = new Map<string, number>()
  #running = 0

  constructor(
    private readonly most: number,
    private readonly mostEach: number,
  ) {}

  /** What ends the stay, once; undefined where there is no room. */
  enter(who: string): (() => void) | undefined {
    const own = this.#holders.get(who) ?? 0
    if (this.#running >= this.most || own >= this.mostEach) return undefined
    this.#running += 1
    this.#holders.set(who, own + 1)
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      this.#running -= 1
      const left = (this.#holders.get(who) ?? 1) - 1
      if (left > 0) this.#holders.set(who, left)
      else this.#holders.delete(who)
    }
  }
}

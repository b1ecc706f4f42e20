import type { ReplyData, Spoken } from './frames.ts'

type Choice = Spoken<'presence'>
type Answer = ReplyData['presence']

/**
 * How one wants to be seen. Said once at a time: what is chosen while an answer is waited for is said together,
 * afterwards, so that what was chosen last is what holds.
 */
export class OwnPresence {
  #accepted: Choice = {}
  #wanted: Choice = {}
  #saying: Promise<unknown> | undefined
  #next: { choice: Choice; answer: Promise<Answer> } | undefined

  constructor(private readonly ask: (choice: Choice) => Promise<Answer>) {}

  set(choice: Choice): Promise<Answer> {
    this.#wanted = { ...this.#wanted, ...choice }
    if (this.#next) {
      Object.assign(this.#next.choice, choice)
      return this.#next.answer
    }
    if (!this.#saying) return this.#say({ ...choice })
    const next = { ...choice }
    const answer = this.#saying.then(() => {
      this.#next = undefined
      return this.#say(next)
    })
    this.#next = { choice: next, answer }
    return answer
  }

  /**
   * What `identify` says: the status at once, so that nobody sees another one in between; a custom status only when the
   * server has taken it before, for one that it would refuse would end the connection.
   */
  get introduction(): Choice | undefined {
    const { customStatus } = this.#accepted
    const choice: Choice = {
      ...(this.#wanted.status === undefined ? {} : { status: this.#wanted.status }),
      ...(customStatus ? { customStatus } : {}),
    }
    return Object.keys(choice).length === 0 ? undefined : choice
  }

  #say(choice: Choice): Promise<Answer> {
    const answer = this.ask(choice)
    const saying: Promise<unknown> = answer
      .then(
        () => {
          this.#accepted = { ...this.#accepted, ...choice }
        },
        () => {
          this.#wanted = { ...this.#accepted, ...this.#next?.choice }
        },
      )
      .then(() => {
        if (this.#saying === saying) this.#saying = undefined
      })
    this.#saying = saying
    return answer
  }
}

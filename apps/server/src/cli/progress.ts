const WIDTH = 30

/** How much of it is done, and of how much; `what` it is that is counted. */
export type Progress = { done: number; total: number; what: string }

type Terminal = { isTTY?: boolean; write(text: string): unknown }

/**
 * Shows how far something is, on standard error: a bar that is drawn over in a terminal, elsewhere a line for each tenth.
 */
export function progressBar(terminal: Terminal = process.stderr) {
  let tenth = -1
  const counted = ({ done, total, what }: Progress) =>
    `${done.toLocaleString('en')} of ${total.toLocaleString('en')} ${what}`
  return {
    show(progress: Progress): void {
      const share = progress.total === 0 ? 1 : Math.min(1, progress.done / progress.total)
      if (terminal.isTTY) {
        const bar = '█'.repeat(Math.round(share * WIDTH)).padEnd(WIDTH, '░')
        terminal.write(`\r${bar} ${Math.floor(share * 100)} %, ${counted(progress)}\u001b[K`)
      } else if (Math.floor(share * 10) > tenth) {
        tenth = Math.floor(share * 10)
        terminal.write(`${tenth * 10} %, ${counted(progress)}\n`)
      }
    },
    end(): void {
      if (terminal.isTTY) terminal.write('\n')
    },
  }
}

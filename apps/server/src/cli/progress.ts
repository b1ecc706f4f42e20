const WIDTH = 30

/** How much of it is done, and of how much; `what` it is that is counted. */
export type Progress = { done: number; total: number; what: string }

type Terminal = { isTTY?: boolean; write(text: string): unknown }

/**
 * Shows how far something is, on standard error: a bar that is drawn over in a terminal, and elsewhere nothing, since
 * nobody is waiting there.
 */
export function progressBar(terminal: Terminal = process.stderr) {
  let isShown = false
  const counted = ({ done, total, what }: Progress) =>
    `${done.toLocaleString('en')} of ${total.toLocaleString('en')} ${what}`
  return {
    show(progress: Progress): void {
      if (!terminal.isTTY) return
      const share = progress.total === 0 ? 1 : Math.min(1, progress.done / progress.total)
      const bar = '█'.repeat(Math.round(share * WIDTH)).padEnd(WIDTH, '░')
      terminal.write(`\r${bar} ${Math.floor(share * 100)} %, ${counted(progress)}\u001b[K`)
      isShown = true
    },
    end(): void {
      if (isShown) terminal.write('\n')
      isShown = false
    },
  }
}

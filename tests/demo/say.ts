export type Say = (line: string) => void

/** Prints lines with the seconds since it was made. */
export function sayer(): Say {
  const began = performance.now()
  return (line) => console.log(`${((performance.now() - began) / 1000).toFixed(1).padStart(6)} s  ${line}`)
}

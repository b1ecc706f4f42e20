/** Ends this process when its standard input closes: the bench that started it is gone. */
export function endWithParent(): void {
  process.stdin
    .on('end', () => process.exit(0))
    .on('error', () => process.exit(0))
    .resume()
}

import { StartError } from '@conntext/kernel'

/** A backup that can't be made, read or restored: its message tells an operator why, and what to do. */
export class BackupError extends StartError {
  override name = 'BackupError'
}

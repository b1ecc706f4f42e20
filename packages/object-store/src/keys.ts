import { InvalidKey } from './errors.ts'

const maxKeyLength = 512
const maxSegmentLength = 200

/**
 * Refuses keys that could escape a directory, that another file system or S3 would read differently, or that differ
 * only in case. Throws `InvalidKey`.
 */
export function assertKey(key: string): void {
  if (typeof key !== 'string' || key.length === 0) throw new InvalidKey('it is empty')
  if (key.length > maxKeyLength) throw new InvalidKey(`it is longer than ${maxKeyLength} characters`)
  if (!/^[a-z0-9/_.-]+$/.test(key)) throw new InvalidKey('only a-z, 0-9, slash, dot, hyphen and underscore may occur')
  for (const segment of key.split('/')) {
    if (segment === '') throw new InvalidKey('it begins or ends with a slash, or has two in a row')
    if (segment === '.' || segment === '..') throw new InvalidKey('it has a segment of dots')
    if (segment.length > maxSegmentLength) {
      throw new InvalidKey(`a segment is longer than ${maxSegmentLength} characters`)
    }
  }
}

/** A prefix may end anywhere in a key, and may be empty. Throws `InvalidKey`. */
export function assertPrefix(prefix: string): void {
  if (prefix.length > maxKeyLength || !/^[a-z0-9/_.-]*$/.test(prefix)) {
    throw new InvalidKey('the prefix holds characters that no key has')
  }
}

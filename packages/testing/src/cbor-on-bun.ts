import { createRequire } from 'node:module'

type Stream = { length: number; read(size?: number): Buffer | null }

// The emulator encodes with npm's `cbor`, which takes what a stream's `read()` answers for all there is. On Bun it is
// the first piece: it is told here how much to read.
const requireFrom = (path: string) => createRequire(path)
const emulator = requireFrom(import.meta.path).resolve('nid-webauthn-emulator')
const { prototype } = requireFrom(requireFrom(emulator).resolve('cbor'))('nofilter') as { prototype: Stream }
const read = prototype.read
prototype.read = function (this: Stream, size?: number) {
  return read.call(this, size ?? (this.length > 0 ? this.length : undefined))
}

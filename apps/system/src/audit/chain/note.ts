import { createHash } from 'node:crypto'
import { base64 } from './header.ts'

// C2SP's tlog-checkpoint and signed-note: what tools for transparency logs read.

const ED25519 = Buffer.from([1])
const DASH = '\u2014'

/** What a checkpoint says: the log's batches, how many, and the root of the tree over them. */
export type Checkpoint = { origin: string; size: number; root: Uint8Array }
export type NoteSignature = { name: string; keyHash: string; signature: Uint8Array }

export const originOf = (logId: string): string => `conntext/audit/${logId}`

/** The text that is signed. */
export const checkpointText = ({ origin, size, root }: Checkpoint): string => `${origin}\n${size}\n${base64(root)}\n`

/** What a note's signature names a key by, in hex. */
export const keyHash = (origin: string, publicKey: Uint8Array): string =>
  createHash('sha256').update(`${origin}\n`).update(ED25519).update(publicKey).digest('hex').slice(0, 8)

/** The key as tools for signed notes take it. */
export const verifierKey = (origin: string, publicKey: Uint8Array): string =>
  `${origin}+${keyHash(origin, publicKey)}+${base64(Buffer.concat([ED25519, publicKey]))}`

/** A checkpoint with its signature, for keeping elsewhere. */
export function signedNote(checkpoint: Checkpoint, publicKey: Uint8Array, signature: Uint8Array): string {
  const signed = Buffer.concat([Buffer.from(keyHash(checkpoint.origin, publicKey), 'hex'), signature])
  return `${checkpointText(checkpoint)}\n${DASH} ${checkpoint.origin} ${base64(signed)}\n`
}

export type Note = Checkpoint & { signatures: NoteSignature[] }

const NOTE = /^([^\n]+)\n(0|[1-9]\d{0,14})\n([A-Za-z0-9+/]{43}=)\n\n((?:\u2014 [^ \n]+ [A-Za-z0-9+/=]+\n?)+)$/

/** The checkpoints of a text, one after the other; undefined where it holds anything else. */
export function parseNotes(text: string): Note[] | undefined {
  const notes = text
    .replaceAll('\r\n', '\n')
    .trim()
    .split(/(?<=\n\u2014 [^\n]+)\n+(?!\u2014)/)
    .map(parseNote)
  return notes.every((note) => note !== undefined) ? notes : undefined
}

// A key's hash and an Ed25519 signature are 68 bytes: where it was cut short, there are fewer.
const WHOLE = /[^\n]+\n\d+\n[A-Za-z0-9+/]{43}=\n\n(?:\u2014 [^ \n]+ [A-Za-z0-9+/]{91}=\n)+/g

/** The whole checkpoints of a text: what somebody was writing when the machine went down is none. */
export const wholeNotes = (text: string): string[] => text.match(WHOLE) ?? []

function parseNote(text: string): Note | undefined {
  const [, origin, size, root, lines] = NOTE.exec(text) ?? []
  if (!origin || !size || !root || !lines) return undefined
  const signatures = lines
    .trim()
    .split('\n')
    .map((line) => {
      const [, name, signed] = line.split(' ')
      const bytes = Buffer.from(signed!, 'base64')
      return { name: name!, keyHash: bytes.toString('hex', 0, 4), signature: bytes.subarray(4) }
    })
  return { origin, size: Number(size), root: Buffer.from(root, 'base64'), signatures }
}

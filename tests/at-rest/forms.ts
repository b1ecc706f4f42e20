import { createHash } from 'node:crypto'

/** A secret's name, and one of the forms that it would be no secret in. */
export type Form = { name: string; form: string; bytes: Buffer }

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
// Shorter ones are found by chance in so many bytes.
const SHORTEST = 10

/**
 * A secret as it is, coded as hex and base64, decoded where it is a code itself, and hashed without a key: everything
 * that it could be read or guessed from.
 */
export function formsOf(name: string, secret: string): Form[] {
  const plain = Buffer.from(secret)
  const forms: Form[] = [
    { name, form: 'as it is', bytes: plain },
    { name, form: 'without separators', bytes: Buffer.from(secret.replace(/[\s-]/g, '')) },
    { name, form: 'sha256', bytes: createHash('sha256').update(plain).digest() },
    { name, form: 'sha256 hex', bytes: Buffer.from(createHash('sha256').update(plain).digest('hex')) },
    ...coded(name, '', plain),
  ]
  if (/^[\w-]+$/.test(secret)) {
    const decoded = Buffer.from(secret, 'base64url')
    forms.push({ name, form: 'decoded', bytes: decoded }, ...coded(name, 'decoded, ', decoded))
  }
  if (/^[A-Z2-7]+=*$/.test(secret)) {
    const decoded = fromBase32(secret)
    forms.push({ name, form: 'base32 decoded', bytes: decoded }, ...coded(name, 'base32 decoded, ', decoded))
  }
  return forms.filter(({ bytes }) => bytes.length >= SHORTEST)
}

const coded = (name: string, prefix: string, bytes: Buffer): Form[] => [
  { name, form: `${prefix}hex`, bytes: Buffer.from(bytes.toString('hex')) },
  // Without the end, which depends on what follows.
  { name, form: `${prefix}base64`, bytes: Buffer.from(bytes.toString('base64').replace(/.{0,3}=*$/, '')) },
  { name, form: `${prefix}base64url`, bytes: Buffer.from(bytes.toString('base64url').replace(/.{0,3}$/, '')) },
]

function fromBase32(text: string): Buffer {
  const bits = [...text.replaceAll('=', '')]
    .map((letter) => BASE32.indexOf(letter).toString(2).padStart(5, '0'))
    .join('')
  return Buffer.from((bits.match(/.{8}/g) ?? []).map((octet) => Number.parseInt(octet, 2)))
}

/** Finds any of many forms in bytes, in one pass over them. */
export class Searcher {
  readonly #begins = new Uint8Array(2 ** 16)
  readonly #byBeginning = new Map<number, Form[]>()

  constructor(forms: Form[]) {
    for (const form of forms) {
      const beginning = form.bytes.readUInt16LE(0)
      this.#begins[beginning] = 1
      this.#byBeginning.set(beginning, [...(this.#byBeginning.get(beginning) ?? []), form])
    }
  }

  /** Names what was found: the secret, and in which form. */
  find(text: string | Uint8Array): string[] {
    const bytes = Buffer.from(text as Uint8Array)
    const found = new Set<string>()
    for (let at = 0; at + 1 < bytes.length; at += 1) {
      const beginning = bytes[at]! | (bytes[at + 1]! << 8)
      if (this.#begins[beginning] === 0) continue
      for (const { name, form, bytes: wanted } of this.#byBeginning.get(beginning)!) {
        const end = at + wanted.length
        if (end <= bytes.length && bytes.compare(wanted, 0, wanted.length, at, end) === 0)
          found.add(`${name} (${form})`)
      }
    }
    return [...found]
  }
}

import { uploadErrors } from './errors.ts'

/** The version of the resumable upload protocol (https://tus.io/protocols/resumable-upload) that is spoken here. */
export const TUS_VERSION = '1.0.0'
export const TUS_HEADER = 'tus-resumable'
export const PART_TYPE = 'application/offset+octet-stream'

const EXTENSIONS = 'creation,creation-with-upload,expiration,termination,checksum'
const CHECKSUMS = ['sha256', 'sha1'] as const
const LONGEST_METADATA = 4096

export type Checksum = { algorithm: (typeof CHECKSUMS)[number]; digest: Buffer }

/** What OPTIONS tells of this server. */
export const capabilities = (maxFileBytes: number): Record<string, string> => ({
  'tus-resumable': TUS_VERSION,
  'tus-version': TUS_VERSION,
  'tus-extension': EXTENSIONS,
  'tus-max-size': String(maxFileBytes),
  'tus-checksum-algorithm': CHECKSUMS.join(','),
})

/** @throws upload.wrongVersion (412) */
export function assertVersion(headers: Headers): void {
  if (headers.get(TUS_HEADER) !== TUS_VERSION) throw uploadErrors.wrongVersion(`Send Tus-Resumable: ${TUS_VERSION}.`)
}

/** @throws upload.lengthMissing (400), also where it is to be told later: what an upload takes is set aside for it */
export function readLength(headers: Headers): number {
  const length = wholeNumber(headers.get('upload-length'))
  if (length === undefined) throw uploadErrors.lengthMissing()
  return length
}

/** @throws upload.offsetMissing (400) */
export function readOffset(headers: Headers): number {
  const offset = wholeNumber(headers.get('upload-offset'))
  if (offset === undefined) throw uploadErrors.offsetMissing()
  return offset
}

function wholeNumber(text: string | null): number | undefined {
  const number = text !== null && /^\d{1,16}$/.test(text) ? Number(text) : undefined
  return number !== undefined && Number.isSafeInteger(number) ? number : undefined
}

/** The name that a client gives the file, and all that it says, as it says it. @throws upload.badMetadata (400) */
export function readMetadata(headers: Headers): { filename: string | undefined; metadata: string | null } {
  const metadata = headers.get('upload-metadata')
  if (metadata === null || metadata.trim() === '') return { filename: undefined, metadata: null }
  if (metadata.length > LONGEST_METADATA) throw uploadErrors.badMetadata(`At most ${LONGEST_METADATA} characters.`)
  const pairs = new Map<string, string>()
  for (const part of metadata.split(',')) {
    const [, key, value = ''] = /^ *([!-+\--~]+)(?: +([A-Za-z0-9+/]*={0,2}))? *$/.exec(part) ?? []
    if (key === undefined || pairs.has(key)) throw uploadErrors.badMetadata('Send unique keys with base64 values.')
    pairs.set(key, value)
  }
  const name = pairs.get('filename') ?? pairs.get('name')
  return { filename: name === undefined ? undefined : Buffer.from(name, 'base64').toString(), metadata }
}

/** @throws upload.badChecksum (400) */
export function readChecksum(headers: Headers): Checksum | undefined {
  const header = headers.get('upload-checksum')
  if (header === null) return undefined
  const [, name, encoded = ''] = /^(\S+) ([A-Za-z0-9+/]+={0,2})$/.exec(header.trim()) ?? []
  const algorithm = CHECKSUMS.find((one) => one === name)
  if (!algorithm) throw uploadErrors.badChecksum(`Send one of ${CHECKSUMS.join(', ')}, and the digest in base64.`)
  return { algorithm, digest: Buffer.from(encoded, 'base64') }
}

/** Every answer to a tus client says that it is one, also where it was refused. For Elysia's `wrap`. */
export const answerAsTus =
  (fetch: (...request: unknown[]) => unknown) =>
  async (request: Request, ...rest: unknown[]) => {
    const answer = (await fetch(request, ...rest)) as Response
    if (!request.headers.has(TUS_HEADER) || !new URL(request.url).pathname.startsWith('/v1/uploads')) return answer
    answer.headers.set('tus-resumable', TUS_VERSION)
    if (answer.status === 412) answer.headers.set('tus-version', TUS_VERSION)
    return answer
  }

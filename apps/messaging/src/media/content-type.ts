import { fileTypeFromBuffer } from 'file-type'

/** How many of a file's first bytes tell its type. */
export const HEAD_BYTES = 4100

// What a TIFF is can stand at its end: beyond what is looked at here.
const TIFF_HEADS = [
  [0x49, 0x49, 0x2a, 0],
  [0x4d, 0x4d, 0, 0x2a],
]
const BINARY = 'application/octet-stream'

/** A file's type from its first bytes; its name and what the client says play no part. */
export async function detectContentType(head: Uint8Array): Promise<string> {
  // A file that is cut off or malformed on purpose may trip a detector: then its type isn't known.
  const detected = await fileTypeFromBuffer(head).catch(() => undefined)
  if (detected) return detected.mime
  if (TIFF_HEADS.some((start) => start.every((byte, index) => head[index] === byte))) return 'image/tiff'
  return isText(head) ? 'text/plain' : BINARY
}

/** Valid UTF-8, but for a character that the cut runs through, and no control characters but white space. */
function isText(head: Uint8Array): boolean {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(head, { stream: true })
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    return !/[\0-\x08\x0b\x0e-\x1f\x7f]/.test(text)
  } catch {
    return false
  }
}

// Those that can tell who took them, where and when. SVG is no picture here: it can carry scripts.
const PICTURES = /^image\/(jpeg|png|apng|webp|gif|tiff|avif|hei[cf](-sequence)?)$/

/** Whether a file is a picture, by its type: it is looked into before others see it. */
export const isPicture = (contentType: string): boolean => PICTURES.test(contentType)

const INLINE = /^(image\/(png|apng|jpeg|gif|webp|avif)|audio\/.+|video\/.+|text\/plain)$/

/**
 * How a browser is to take the file (RFC 6266): shown only where the type can't carry a script. The plain `filename`
 * is for old clients, `filename*` (RFC 8187) for all others.
 */
export function contentDisposition(contentType: string, filename: string): string {
  const kind = INLINE.test(contentType) ? 'inline' : 'attachment'
  const fallback = filename.replace(/[^\x20-\x7e]|["\\%]/gu, '_')
  const encoded = encodeURIComponent(filename).replace(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
  return `${kind}; filename="${fallback}"; filename*=UTF-8''${encoded}`
}

/** The type as it is served: text was found to be UTF-8. */
export const servedType = (contentType: string): string =>
  contentType === 'text/plain' ? 'text/plain; charset=utf-8' : contentType

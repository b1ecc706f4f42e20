import { requestErrors } from './errors.ts'

/** The most characters of a display name or a nickname, in Unicode code points. */
export const MOST_NAME = 64

const ZWJ = '\u200d'

/**
 * What has no glyph of its own, yet belongs to its neighbours: the joiner within an emoji sequence; the presentation of
 * an emoji; the tags of a flag; a variant of an ideograph; and the joiners that scripts need (RFC 5892, appendix A:
 * after a virama, and ZWNJ between letters of Arabic and its like).
 */
const BELONGING = new RegExp(
  [
    String.raw`(?<=\p{Extended_Pictographic}[\p{Emoji_Modifier}\ufe0f]?)${ZWJ}(?=\p{Extended_Pictographic})`,
    String.raw`(?<=\p{Emoji})[\ufe0e\ufe0f]`,
    String.raw`(?<=\u{1f3f4})[\u{e0030}-\u{e0039}\u{e0061}-\u{e007a}]{3,6}\u{e007f}`,
    String.raw`(?<=\p{Script=Han})[\ufe00-\ufe0f\u{e0100}-\u{e01ef}]`,
    String.raw`(?<=[\u094d\u09cd\u0a4d\u0acd\u0b4d\u0bcd\u0c4d\u0ccd\u0d4d\u0dca\u1039])[\u200c\u200d]`,
    String.raw`(?<=[\p{Script=Arabic}\p{Script=Syriac}]\p{Mn}*)\u200c(?=\p{Mn}*[\p{Script=Arabic}\p{Script=Syriac}])`,
  ].join('|'),
  'gu',
)

// Control characters and what isn't a character; what is invisible or turns the direction of reading; line breaks.
const UNWANTED = /[\p{Cc}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\p{Bidi_Control}\ufff9-\ufffb]/u

// Something has to be seen; the empty Braille pattern is not.
const VISIBLE = /[^\p{Z}\p{M}\u2800]/u

type Limits = {
  /** Where it stands in the request, as a JSON pointer: `/body/displayName`. */
  path: string
  /** The most characters, in Unicode code points. */
  most?: number
}

/**
 * A name as it is kept and shown: in Unicode's normal form C, trimmed, with single plain spaces, as in RFC 8266. Null
 * for one of nothing but space.
 * @throws request.invalid (422) for what can't be seen, tricks the eye or is too long
 */
export function cleanName(text: string, { path, most = MOST_NAME }: Limits): string | null {
  const refuse = (message: string) => requestErrors.invalid({ errors: [{ path, message }] })
  // Before anything is trimmed: a line break is no space here.
  if (UNWANTED.test(text.replace(BELONGING, ''))) {
    throw refuse('must not contain control, invisible, text-direction or unassigned characters')
  }
  const name = text
    .normalize('NFC')
    .replace(/\p{Zs}+/gu, ' ')
    .trim()
  if (name === '') return null
  if (!VISIBLE.test(name)) throw refuse('must contain something that can be seen')
  if ([...name].length > most) throw refuse(`must have at most ${most} characters`)
  return name
}

/** A name that somebody gives a thing of theirs, which must have one. @throws request.invalid (422) */
export function cleanLabel(text: string): string {
  const name = cleanName(text, { path: '/body/name' })
  if (name !== null) return name
  throw requestErrors.invalid({ errors: [{ path: '/body/name', message: 'must contain something that can be seen' }] })
}

const EMOJI = /^\p{RGI_Emoji}$/v

/** One emoji. @throws request.invalid (422) */
export function cleanEmoji(text: string, path: string): string {
  // Some, such as ❤, are emoji only with a selector that keyboards leave out.
  for (const emoji of [text, `${text}\ufe0f`]) if (EMOJI.test(emoji)) return emoji
  throw requestErrors.invalid({ errors: [{ path, message: 'must be one emoji' }] })
}

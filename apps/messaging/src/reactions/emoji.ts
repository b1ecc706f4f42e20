import { reactionErrors } from './errors.ts'

// "Recommended for general interchange": what keyboards offer, of the Unicode version that the runtime knows.
const EMOJI = /^\p{RGI_Emoji}$/v
const AS_PICTURE = '\uFE0F'

/**
 * The one emoji that a text is. A character that is shown as text unless told otherwise (❤) is taken as the picture, in
 * the one way to write it, so that nobody reacts with the same emoji twice.
 * @throws reaction.notAnEmoji (422)
 */
export function emojiOf(text: string): string {
  if (EMOJI.test(text)) return text
  const picture = text + AS_PICTURE
  if (EMOJI.test(picture)) return picture
  throw reactionErrors.notAnEmoji()
}

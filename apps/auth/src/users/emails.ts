import { domainToASCII } from 'node:url'

// What a domain may be made of before IDNA; the URL parser behind `domainToASCII` would take more, or leave it out.
const DOMAIN = /^[\p{L}\p{M}\p{N}.\-\u3002\uff0e\uff61]+$/u
const ASCII = /^[\x21-\x7e]+$/

/**
 * What makes an email address unique, and what it is found by. The domain is what DNS makes of it (IDNA: case, width and
 * script of its dots make no difference). Before the `@` only the case of ASCII letters makes no difference: few servers
 * tell it apart, and people don't. Any other folding would take two mailboxes for one: dotless ı, the Kelvin sign and
 * full-width letters are other letters to a mail server, whatever Unicode's case mappings and normal forms make of them.
 */
export function emailKey(email: string): string {
  const at = email.lastIndexOf('@')
  const [local, domain] = [email.slice(0, at), email.slice(at + 1)]
  const ascii = DOMAIN.test(domain) ? domainToASCII(domain) : ''
  return `${ASCII.test(local) ? local.toLowerCase() : local}@${ascii === '' ? domain : ascii}`
}

import { isIPv4 } from 'node:net'
import { oidcErrors } from './errors.ts'

const isLoopback = (hostname: string): boolean =>
  hostname === 'localhost' || hostname === '[::1]' || (isIPv4(hostname) && hostname.startsWith('127.'))

/** Whether what goes there stays between this server and the provider: https, or http on this machine. */
export const isProtected = ({ protocol, hostname }: URL): boolean =>
  protocol === 'https:' || (protocol === 'http:' && isLoopback(hostname))

/**
 * A provider's issuer as a URL (OpenID Connect Discovery 1.0, section 3). Without a path to the metadata itself: then
 * nobody would compare what it says of its issuer.
 * @throws oidc.issuerRefused (422)
 */
export function readIssuer(issuer: string): URL {
  const url = URL.canParse(issuer) ? new URL(issuer) : undefined
  if (!url || !isProtected(url))
    throw oidcErrors.issuerRefused('It takes an https URL; http is for this machine alone.')
  if (url.username !== '' || url.password !== '' || issuer.includes('?') || issuer.includes('#')) {
    throw oidcErrors.issuerRefused('An issuer has no user, no query and no fragment.')
  }
  if (url.pathname.includes('/.well-known/')) {
    throw oidcErrors.issuerRefused('It takes the issuer, not the address of its metadata.')
  }
  return url
}

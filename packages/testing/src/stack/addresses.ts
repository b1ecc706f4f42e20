import { freePort } from '@conntext/embedded'

const defaultPorts: Record<string, number> = { postgres: 5432, postgresql: 5432, http: 80, redis: 6379, rediss: 6379 }

const URL_TO_SERVICE = /^(\w+):\/\/((?:[^@/\s]*@)?)([a-z0-9-]+)(?::(\d+))?(?=[/?#]|$)/
const HOST_AND_PORT = /(?<![\w.:/@-])([a-z0-9-]+):(\d+)(?![\w.:])/g

/**
 * Where on this machine each port of each container is: the names of services are hosts there, and here there is one
 * host for all.
 */
export class Addresses {
  readonly #ports = new Map<string, Promise<number>>()

  constructor(private readonly services: ReadonlySet<string>) {}

  /** The port of 127.0.0.1 that stands for a service's own. Always the same one. */
  port(service: string, port: number): Promise<number> {
    const key = `${service}:${port}`
    const found = this.#ports.get(key) ?? freePort()
    this.#ports.set(key, found)
    return found
  }

  /** Tells where a port is that was chosen elsewhere. */
  place(service: string, port: number, actual: number): void {
    this.#ports.set(`${service}:${port}`, Promise.resolve(actual))
  }

  /** A setting's value with the services' addresses in it replaced: URLs separated by commas, or words `host:port`. */
  async replace(value: string): Promise<string> {
    if (value.includes('://')) {
      return (await Promise.all(value.split(',').map((url) => this.#replaceUrl(url.trim())))).join(',')
    }
    const found = [...value.matchAll(HOST_AND_PORT)].filter(([, host]) => this.services.has(host!))
    let replaced = value
    for (const [whole, host, port] of found) {
      replaced = replaced.replace(whole, `127.0.0.1:${await this.port(host!, Number(port))}`)
    }
    return replaced
  }

  async #replaceUrl(url: string): Promise<string> {
    const match = URL_TO_SERVICE.exec(url)
    if (!match) return url
    const [whole, scheme, user, host, port] = match
    if (!this.services.has(host!)) return url
    const actual = await this.port(host!, Number(port ?? defaultPorts[scheme!] ?? 443))
    return `${scheme}://${user}127.0.0.1:${actual}${url.slice(whole.length)}`
  }
}

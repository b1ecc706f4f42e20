import { type Authority, type Channel, channelStream, type Grant } from '@conntext/contracts'

/** All channels that the same people may see, and the topic on which their events are published. */
export type Audience = { key: string; topic: string; channels: string[] }

/** What somebody sees. People who see the same share one, so that comparing two is comparing references. */
export type Visibility = { topics: string[]; channels: ReadonlySet<string>; streams: string[] }

/** What somebody sees now that they did not before, and the reverse. Undefined where nothing changed. */
export type Difference = { gained: string[]; lost: string[] }

/** Names for audiences, kept as long as the audience lasts: a change elsewhere must not move anybody. */
export class TopicNames {
  #names = new Map<string, string>()
  #last = 0

  take(key: string): string {
    const name = this.#names.get(key) ?? `a${++this.#last}`
    this.#names.set(key, name)
    return name
  }

  keepOnly(keys: ReadonlySet<string>): void {
    for (const key of this.#names.keys()) if (!keys.has(key)) this.#names.delete(key)
  }
}

/** One snapshot of who may see what, prepared for asking it of thousands of connections at once. */
export class View {
  readonly audiences = new Map<string, Audience>()
  readonly #topics = new Map<string, string>()
  readonly #channels: Map<string, Channel>
  readonly #fragments = new Map<string, string>()
  readonly #byRoles = new Map<string, Visibility>()
  readonly #bySight = new Map<string, Visibility>()
  /** Those for whom more counts than their roles. */
  readonly #special: Set<string>
  readonly serverJson: string
  readonly rolesJson: string

  constructor(
    readonly authority: Authority,
    names: TopicNames,
  ) {
    const { snapshot } = authority
    this.#channels = new Map(snapshot.channels.map((channel) => [channel.id, channel]))
    this.#special = new Set(snapshot.overrides.filter((one) => one.targetKind === 'member').map((one) => one.targetId))
    if (snapshot.ownerId !== null) this.#special.add(snapshot.ownerId)
    this.serverJson = JSON.stringify(snapshot.server)
    this.rolesJson = JSON.stringify(snapshot.roles)
    for (const { id } of snapshot.channels) {
      const key = authority.audience(id)
      const audience = this.audiences.get(key) ?? { key, topic: names.take(key), channels: [] }
      audience.channels.push(id)
      this.audiences.set(key, audience)
      this.#topics.set(id, audience.topic)
    }
  }

  /** The topic of a channel's events; undefined for a channel that is not there. */
  topicOf(channelId: string): string | undefined {
    return this.#topics.get(channelId)
  }

  channel(channelId: string): Channel | undefined {
    return this.#channels.get(channelId)
  }

  has(channelId: string): boolean {
    return this.#channels.has(channelId)
  }

  visibility(grant: Grant): Visibility {
    if (this.#special.has(grant.userId)) return this.#see(grant)
    const key = sightKey(grant)
    const known = this.#byRoles.get(key) ?? this.#see(grant)
    this.#byRoles.set(key, known)
    return known
  }

  /** The channel as clients get it, with `lastSeq`: the part that stays the same is made once. */
  channelJson(channelId: string, lastSeq: number): string {
    let fragment = this.#fragments.get(channelId)
    if (fragment === undefined) {
      fragment = `${JSON.stringify(this.#channels.get(channelId)).slice(0, -1)},"lastSeq":`
      this.#fragments.set(channelId, fragment)
    }
    return `${fragment}${lastSeq}}`
  }

  #see(grant: Grant): Visibility {
    const seen = [...this.audiences.values()].filter(({ channels }) =>
      this.authority.allows(grant, 'channel.view', channels[0]),
    )
    const sight = seen.map(({ topic }) => topic).join()
    let visibility = this.#bySight.get(sight)
    if (!visibility) {
      const channels = seen.flatMap((audience) => audience.channels)
      visibility = {
        topics: seen.map(({ topic }) => topic),
        channels: new Set(channels),
        streams: channels.map(channelStream),
      }
      this.#bySight.set(sight, visibility)
    }
    return visibility
  }
}

/** All that decides what somebody sees for whom nothing counts but their roles. */
function sightKey({ standing, kind, mfa, roleIds, scopes }: Grant): string {
  const blind = scopes && !scopes.includes('channel.view') && !scopes.includes('administrator')
  return [standing, blind ? 'blind' : 'seeing', mfa || kind === 'bot' ? 'mfa' : kind, ...[...roleIds].sort()].join()
}

export function difference(before: Visibility, after: Visibility): Difference | undefined {
  if (before === after) return undefined
  const gained = [...after.channels].filter((id) => !before.channels.has(id))
  const lost = [...before.channels].filter((id) => !after.channels.has(id))
  return gained.length + lost.length === 0 ? undefined : { gained, lost }
}

import type { AuthPort } from '@conntext/contracts'
import type { Caller } from '@conntext/http'
import { isId } from '@conntext/kernel'
import {
  type Condition,
  type Filter,
  isHopeless,
  type Period,
  type Properties,
  type Query,
} from '@conntext/search-text'
import type { Searchable } from './channels.ts'
import { EVERYONE, properties } from './documents.ts'

/** What is asked of the database: all of it must hold. */
export type Terms = {
  /** Where to look. */
  channelIds: string[]
  conditions: Condition[]
  periods: { period: Period; negated: boolean }[]
  pinned: boolean[]
}

type Named = Extract<Filter, { kind: 'from' | 'in' | 'mentions' }>
type UserNamed = Named & { kind: 'from' | 'mentions' }
/** The ids of people by what they are called, as far as there are any. */
type Identify = (names: string[]) => Promise<Map<string, string>>
type Resolving = { caller: Caller; channels: Searchable[]; auth: Pick<AuthPort, 'findUsers'> }

// In more channels than these, the channels' own entries of the index help nothing.
const CHANNELS_BY_INDEX = 16

/**
 * Gives the names of a query their ids. Undefined where nothing can be found, as with names that nobody has: whether
 * somebody or something hidden goes by them is not told.
 */
export async function resolveTerms(query: Query, { caller, channels, auth }: Resolving): Promise<Terms | undefined> {
  const channelIds = await channelsOf(query.filters, channels, (names) => identify(names, caller, auth))
  const wanted = query.filters.some((one) => one.kind === 'in' && !one.negated)
  const conditions: Condition[] = [
    ...query.phrases,
    ...(await peopleOf(query.filters, caller, auth)),
    ...query.filters.flatMap((one) => (one.kind === 'has' ? condition([properties.has(one.value)], one.negated) : [])),
    ...(wanted && channelIds.length <= CHANNELS_BY_INDEX ? [condition(channelIds.map(properties.in), false)] : []),
  ]
  const terms = {
    channelIds,
    conditions,
    periods: query.filters.flatMap(({ negated, ...one }) =>
      one.kind === 'date' ? { period: one.value, negated } : [],
    ),
    pinned: query.filters.flatMap((one) => (one.kind === 'is' ? !one.negated : [])),
  }
  return channelIds.length === 0 || isHopeless(conditions) ? undefined : terms
}

const condition = (anyOf: string[], negated: boolean): Properties => ({ kind: 'properties', anyOf, negated })

/**
 * Several channels are alternatives: no message is in two. Behind `@` stands whom one has a conversation with, everything
 * else is a name or an id.
 */
async function channelsOf(filters: Filter[], channels: Searchable[], find: Identify): Promise<string[]> {
  const named = filters.filter((one): one is Named => one.kind === 'in')
  const personIn = ({ value }: Named): string | undefined =>
    /^<@(.*)>$|^@(.*)/
      .exec(value.toLowerCase())
      ?.slice(1)
      .find((name) => name !== undefined)
  const idOf = await find(named.flatMap((one) => personIn(one) ?? []))
  const isIn = ({ id, name, withUserId }: Searchable, one: Named): boolean => {
    const wanted = one.value.replace(/^<#(.*)>$|^#/, '$1').toLowerCase()
    if (id === wanted || name?.toLowerCase() === wanted) return true
    return Boolean(withUserId) && withUserId === idOf.get(personIn(one) ?? '')
  }
  const wanted = named.filter((one) => !one.negated)
  const unwanted = named.filter((one) => one.negated)
  return channels
    .filter((channel) => wanted.length === 0 || wanted.some((one) => isIn(channel, one)))
    .filter((channel) => !unwanted.some((one) => isIn(channel, one)))
    .map((channel) => channel.id)
}

/** Several authors are alternatives: no message has two. Of several mentions all must be there. */
async function peopleOf(filters: Filter[], caller: Caller, auth: Pick<AuthPort, 'findUsers'>): Promise<Properties[]> {
  const named = filters.filter((one): one is UserNamed => one.kind === 'from' || one.kind === 'mentions')
  const idOf = await identify(named.map(nameOf), caller, auth)
  const propertyOf = (one: UserNamed): string[] => {
    const name = nameOf(one)
    if (one.kind === 'mentions' && (name === EVERYONE || name === 'here')) return [properties.mentions(EVERYONE)]
    const id = idOf.get(name)
    if (one.kind === 'mentions') return id === undefined ? [] : [properties.mentions(id)]
    // Webhooks go by whatever name they like: what is by one of that name is found as well.
    return [...(id === undefined ? [] : [properties.from(id)]), ...(name === ME ? [] : [properties.webhook(name)])]
  }
  const authors = named.filter((one) => one.kind === 'from' && !one.negated)
  const others = named.filter((one) => !authors.includes(one))
  return [
    ...(authors.length > 0 ? [condition(authors.flatMap(propertyOf), false)] : []),
    ...others.map((one) => condition(propertyOf(one), one.negated)),
  ]
}

const ME = '@me'

const nameOf = ({ value }: UserNamed): string => {
  const name = value.toLowerCase()
  return name === ME ? ME : name.replace(/^<@&?(.*)>$|^@/, '$1')
}

async function identify(
  names: string[],
  caller: Caller,
  auth: Pick<AuthPort, 'findUsers'>,
): Promise<Map<string, string>> {
  const usernames = [...new Set(names)].filter((name) => name !== ME && !isId(name) && name.length <= 64)
  const found = usernames.length > 0 ? await auth.findUsers({ usernames }) : []
  return new Map([
    ...names.filter(isId).map((id) => [id, id] as const),
    ...found.map(({ id, username }) => [username.toLowerCase(), id] as const),
    [ME, caller.userId],
  ])
}

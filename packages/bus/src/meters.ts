import { counter, histogram } from '@conntext/kernel'

// Subjects end in ids: what they begin with is a kind.
export const kindOf = (subject: string): string => subject.split('.', 1)[0]!.slice(0, 40)

const published = counter('conntext_bus_published_total', 'Messages published, by the kind of their subject', ['kind'])
const received = counter('conntext_bus_received_total', 'Messages received, by the kind of their subject', ['kind'])
const failures = counter('conntext_bus_failures_total', 'Messages that could not be published', ['kind'])
const gaps = counter('conntext_bus_gaps_total', 'Times that messages may have been missed')
const connects = counter('conntext_bus_connects_total', 'Connections made to Redis')
const acknowledged = counter(
  'conntext_bus_announcements_total',
  'Announcements, by whether all who heard them said so in time',
  ['outcome'],
)
const announcing = histogram(
  'conntext_bus_announcement_seconds',
  'Time until all who heard an announcement had said so',
)

export const busMeters = {
  published: (subject: string) => published.add(1, kindOf(subject)),
  received: (subject: string) => received.add(1, kindOf(subject)),
  failed: (subject: string) => failures.add(1, kindOf(subject)),
  gap: () => gaps.add(1),
  connected: () => connects.add(1),
  announced(outcome: 'heard' | 'late', seconds: number) {
    acknowledged.add(1, outcome)
    announcing.observe(seconds)
  },
}

import type { Bus } from '@conntext/bus'

export type Chaos = { drop: number; duplicate: number; delay: number }

/** A bus that loses, repeats and overtakes the streams' news, by a seeded random. Everything else goes through. */
export function chaosBus(bus: Bus, seed: number, chaos: Chaos): Bus {
  const random = mulberry32(seed)
  const later: (() => void)[] = []
  const release = () => {
    while (later.length > 0 && random() < 0.5) later.splice(Math.floor(random() * later.length), 1)[0]!()
  }
  return {
    ...bus,
    async publish(subject, payload) {
      if (!subject.startsWith('stream.')) return bus.publish(subject, payload)
      const deliver = () => void bus.publish(subject, payload)
      const fate = random()
      if (fate < chaos.drop) return
      if (random() < chaos.duplicate) later.push(deliver)
      if (random() < chaos.delay) later.push(deliver)
      else deliver()
      release()
    },
  }
}

/** A small seeded generator (Tommy Ettinger's Mulberry32): the same seed makes the same run. */
function mulberry32(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

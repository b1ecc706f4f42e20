const SLOTS = 16_384

/** The slot of a cluster that a channel belongs to: what stands in the first pair of braces counts, if anything does. */
export function slotOf(channel: string): number {
  const open = channel.indexOf('{')
  const close = open === -1 ? -1 : channel.indexOf('}', open + 1)
  return crc16(close > open + 1 ? channel.slice(open + 1, close) : channel) % SLOTS
}

/** The XMODEM variant, which Redis uses. */
function crc16(text: string): number {
  let crc = 0
  for (const byte of new TextEncoder().encode(text)) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1
    crc &= 0xffff
  }
  return crc
}

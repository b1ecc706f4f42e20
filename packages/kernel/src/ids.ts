const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** A new UUIDv7 (RFC 9562): ids sort by the time they were made. */
export const newId = (): string => Bun.randomUUIDv7()

/** Whether the text is a UUID in its canonical lower-case form. */
export const isId = (text: string): boolean => UUID.test(text)

/** The longer edge of a thumbnail, in pixels. */
export const THUMBNAIL_EDGE = 400

/**
 * What decoding one picture may take; the process that needs more memory ends with that code. A picture of more pixels is
 * not shown to anybody as one.
 */
export const LIMITS = { pixels: 0x3fff * 0x3fff, memoryBytes: 1024 ** 3, seconds: 20, exitCode: 3 }

export type DecodeRequest = { id: number; path: string }
export type DecodeAnswer =
  | { id: number; thumbnail: Uint8Array }
  | { id: number; failure: string }
  | { id: 0; ready: true }

// What tools/radosgw needs to know about where it belongs.
export * from './locate.ts'

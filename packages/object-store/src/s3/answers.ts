// What the client's own parser can't be trusted with: it makes numbers of keys (`007` becomes `7`), and loses the
// marker of a page of uploads.
import type { IncomingMessage } from 'node:http'
import { XMLParser } from 'fast-xml-parser'
import { ObjectStoreUnavailable } from '../errors.ts'
import type { ObjectInfo } from '../object-store.ts'

const lists = new Set(['Contents', 'Upload', 'Part'])
const parser = new XMLParser({ parseTagValue: false, isArray: (name) => lists.has(name) })

type Fields = Record<string, string>

interface Listing {
  IsTruncated?: string
  EncodingType?: string
  Contents?: Fields[]
  Upload?: Fields[]
  Part?: Fields[]
  NextKeyMarker?: string
  NextUploadIdMarker?: string
  NextPartNumberMarker?: string
}

async function read(response: IncomingMessage, root: string): Promise<Listing> {
  const parsed = parser.parse(await textOf(response))
  if (!(root in parsed)) throw new ObjectStoreUnavailable('The object store answered something else than was asked')
  // An element without any content is an empty text.
  return parsed[root] === '' ? {} : parsed[root]
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

/** Of a listing's page, and of every answer about one object: HTTP tells whole seconds only. */
export const wholeSeconds = (time: Date): Date => new Date(Math.floor(time.getTime() / 1000) * 1000)

export const withoutQuotes = (etag: string | undefined): string => (etag ?? '').replaceAll('"', '')

export async function readObjects(response: IncomingMessage): Promise<{ objects: ObjectInfo[]; more: boolean }> {
  const { Contents = [], IsTruncated, EncodingType } = await read(response, 'ListBucketResult')
  const decode = EncodingType === 'url' ? decodeURIComponent : (key: string) => key
  const objects = Contents.map(({ Key = '', Size, ETag, LastModified = '' }) => ({
    key: decode(Key),
    size: Number(Size),
    etag: withoutQuotes(ETag),
    lastModified: wholeSeconds(new Date(LastModified)),
  }))
  return { objects, more: IsTruncated === 'true' }
}

export interface Upload {
  key: string
  uploadId: string
  initiated: Date
}

/** A page of unfinished uploads, and the query of the next. */
export async function readUploads(response: IncomingMessage): Promise<{ uploads: Upload[]; next: Fields | undefined }> {
  const page = await read(response, 'ListMultipartUploadsResult')
  const uploads = (page.Upload ?? []).map(({ Key = '', UploadId = '', Initiated = '' }) => ({
    key: Key,
    uploadId: UploadId,
    initiated: new Date(Initiated),
  }))
  const next = { 'key-marker': page.NextKeyMarker ?? '', 'upload-id-marker': page.NextUploadIdMarker ?? '' }
  return { uploads, next: page.IsTruncated === 'true' ? next : undefined }
}

export interface PartInfo {
  /** From 1. */
  part: number
  etag: string
  size: number
  lastModified: Date
}

/** A page of an upload's parts, and the marker of the next. */
export async function readParts(response: IncomingMessage): Promise<{ parts: PartInfo[]; next: string | undefined }> {
  const { Part = [], IsTruncated, NextPartNumberMarker } = await read(response, 'ListPartsResult')
  const parts = Part.map(({ PartNumber, ETag, Size, LastModified = '' }) => ({
    part: Number(PartNumber),
    etag: withoutQuotes(ETag),
    size: Number(Size),
    lastModified: new Date(LastModified),
  }))
  return { parts, next: IsTruncated === 'true' ? NextPartNumberMarker : undefined }
}

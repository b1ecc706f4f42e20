import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { type Analytics, hostile, startAnalytics, window } from './support/analytics.ts'

let it: Analytics
beforeAll(async () => {
  it = await startAnalytics()
})
afterAll(() => it.system[Symbol.asyncDispose]())

describe('GET /v1/audit/export', () => {
  const take = (query: Record<string, string>) =>
    it.fetchRaw(`/v1/audit/export?${new URLSearchParams({ ...window, ...query })}`)

  test('NDJSON has every event as the API has it, oldest first', async () => {
    const response = await take({ format: 'ndjson' })
    expect(response.headers.get('content-type')).toBe('application/x-ndjson')
    expect(response.headers.get('x-expected-rows')).toBe('90')
    const lines = (await response.text()).trimEnd().split('\n')
    expect(lines.map((line) => JSON.parse(line))).toEqual(it.events)
  })

  test('goes on behind an event that one has', async () => {
    const response = await take({ format: 'ndjson', afterId: it.events[79]!.id, action: 'member.*' })
    const lines = (await response.text()).trimEnd().split('\n')
    expect(lines.map((line) => JSON.parse(line))).toEqual(
      it.events.slice(80).filter(({ action }) => action.startsWith('member.')),
    )
    expect((await take({ format: 'csv', afterId: newId() })).status).toBe(404)
    expect((await take({ format: 'parquet', afterId: it.events[0]!.id })).status).toBe(422)
  })

  test('CSV has a head, and no cell that a spreadsheet would run', async () => {
    const text = await (await take({ format: 'csv' })).text()
    const [head, ...rows] = text.trimEnd().split(/\n(?="[0-9a-f]{8}-)/)
    expect(head).toBe(
      'id,occurredAt,service,action,severity,outcome,actorKind,actorId,sessionId,address,userAgent,targetKind,targetId,data,reason,requestId,traceId',
    )
    expect(rows).toHaveLength(90)
    expect(rows[5]).toContain(`"'${hostile.replaceAll('"', '""')}"`)
    expect(rows[7]).toContain(`"'@SUM(A1)"`)
    expect(text).not.toMatch(/(^|,)"?[=@+\-\t＝]/m)
    expect(rows[8]).toContain(`"'＝1+1"`)
    // What isn't there is an empty cell.
    expect(text).not.toContain('\\N')
    expect(rows[1]).toContain('"{}",,"r-1",')
    expect(rows[0]!.split(',').slice(0, 4)).toEqual([
      `"${it.events[0]!.id}"`,
      `"${it.events[0]!.occurredAt}"`,
      '"auth"',
      '"member.kicked"',
    ])
  })

  test('Parquet is one that the engine reads again', async () => {
    const response = await take({ format: 'parquet', action: 'member.*' })
    const bytes = Buffer.from(await response.arrayBuffer())
    expect(bytes.subarray(0, 4).toString()).toBe('PAR1')
    expect(bytes.subarray(-4).toString()).toBe('PAR1')
    const file = `${process.env.TMPDIR ?? '/tmp'}/conntext-${newId()}.parquet`
    await Bun.write(file, bytes)
    const rows = await it.system.audit.rows<{ id: string; at: string; data: string }>({
      sql: 'SELECT id, toUnixTimestamp64Milli(occurredAt) AS at, data FROM file({file:String}, Parquet) ORDER BY occurredAt',
      params: { file },
    })
    await Bun.file(file).delete()
    const expected = it.events.filter(({ action }) => action.startsWith('member.'))
    expect(rows.map(({ id, at }) => [id, Number(at)])).toEqual(
      expected.map(({ id, occurredAt }) => [id, Date.parse(occurredAt)]),
    )
    expect(rows.map(({ data }) => JSON.parse(data))).toEqual(expected.map(({ data }) => data))
  })

  test('is packed when asked, and named', async () => {
    const plain = await (await take({ format: 'ndjson' })).text()
    const zipped = await take({ format: 'ndjson', compression: 'gzip' })
    expect(zipped.headers.get('content-disposition')).toMatch(/filename="audit-\d{4}-\d\d-\d\d\.ndjson\.gz"/)
    expect(gunzipSync(await zipped.arrayBuffer()).toString()).toBe(plain)
    const packed = await take({ format: 'ndjson', compression: 'zstd' })
    expect(zstdDecompressSync(await packed.arrayBuffer()).toString()).toBe(plain)
  })

  test('is recorded, with the names of its filters alone', async () => {
    await (await take({ format: 'csv', reason: 'spam' })).text()
    const recorded = await eventually(async () =>
      (await it.system.trail('audit.exported')).find(({ data }) => (data.filters as string[]).includes('reason')),
    )
    expect(recorded.data).toMatchObject({ format: 'csv', expectedRows: 1 })
    expect(JSON.stringify(recorded)).not.toContain('spam')
  })

  test('who leaves makes room', async () => {
    for (let i = 0; i < 5; i += 1) {
      const response = await eventually(async () => {
        const answer = await take({ format: 'ndjson' })
        return answer.status === 200 ? answer : undefined
      })
      await response.body!.cancel()
    }
    await eventually(async () => {
      const open = await Promise.all([1, 2, 3].map(() => take({ format: 'ndjson' })))
      for (const response of open) await response.body?.cancel()
      const statuses = open.map(({ status }) => status).sort()
      return statuses[0] === 200 && statuses[1] === 200 && statuses[2] === 429
    })
  })
})

import type { Connection, Engine } from './engine.ts'
import { exceptions } from './exceptions.ts'
import type { QueryRequest } from './request.ts'
import { identifier, literal } from './sql-text.ts'

/** A connection for one request, with the request's settings and database in force. */
export interface Lease {
  connection: Connection
  release(): Promise<void>
}

interface NamedSession {
  connection: Connection
  busy: boolean
  expiry: Timer | undefined
}

const maxNamedSessions = 100

/** chdb's defaults that a server doesn't have. */
const serverDefaults = { implicit_select: '0', allow_introspection_functions: '0' }

/**
 * Connections for requests. One without a `session_id` gets a new connection, so that nothing of it outlives it (that
 * costs 0.1 ms); one with a `session_id` gets the connection that its predecessors used.
 */
export class Sessions {
  readonly #named = new Map<string, NamedSession>()

  constructor(private readonly engine: Engine) {}

  /** `extra` are settings of ours, over the request's. */
  async lease(request: QueryRequest, extra: Record<string, string>): Promise<Lease> {
    const settings = new Map([...Object.entries(serverDefaults), ...request.settings, ...Object.entries(extra)])
    if (!request.session) {
      const connection = this.engine.connect()
      return this.#prepare(connection, request, settings, () => connection.close())
    }
    const { id, timeoutMs } = request.session
    const session = this.#enter(request.session)
    const keep = async () => {
      session.busy = false
      session.expiry = setTimeout(() => this.#end(id), timeoutMs)
      session.expiry.unref()
    }
    return this.#prepare(session.connection, request, settings, async () => {
      // What a request asks for holds for that request alone. A session that can't be put back is given up.
      const restored = await restore(session.connection, settings).catch(() => false)
      if (restored) await keep()
      else await this.#end(id)
    })
  }

  async close(): Promise<void> {
    await Promise.all([...this.#named.keys()].map((id) => this.#end(id)))
  }

  #enter({ id, mustExist }: NonNullable<QueryRequest['session']>): NamedSession {
    let session = this.#named.get(id)
    if (!session) {
      if (mustExist) throw exceptions.sessionNotFound()
      if (this.#named.size >= maxNamedSessions) throw exceptions.tooManyQueries()
      session = { connection: this.engine.connect(), busy: false, expiry: undefined }
      this.#named.set(id, session)
    }
    if (session.busy) throw exceptions.sessionLocked(id)
    session.busy = true
    clearTimeout(session.expiry)
    return session
  }

  async #end(id: string): Promise<void> {
    const session = this.#named.get(id)
    if (!session) return
    this.#named.delete(id)
    clearTimeout(session.expiry)
    await session.connection.close()
  }

  async #prepare(
    connection: Connection,
    { database }: QueryRequest,
    settings: Map<string, string>,
    release: () => Promise<void>,
  ): Promise<Lease> {
    try {
      if (database) await connection.query(`USE ${identifier(database)}`)
      const list = [...settings].map(([name, value]) => `${name} = ${literal(value)}`)
      await connection.query(`SET ${list.join(', ')}`)
      return { connection, release }
    } catch (error) {
      await release()
      throw error
    }
  }
}

async function restore(connection: Connection, settings: Map<string, string>): Promise<boolean> {
  const names = [...settings.keys()].filter((name) => !name.startsWith('param_'))
  await connection.query(`SET ${names.map((name) => `${name} = DEFAULT`).join(', ')}`)
  return true
}

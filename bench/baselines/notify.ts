// Bare Bun.serve: a request that changes something writes it in one transaction, with as many rows as a role change of
// ours, into the Postgres of the server whose data is named; then it is published to all who listen.
import { randomUUIDv7 } from 'bun'
import { BASELINE, openPostgres } from '../lib/postgres.ts'
import { endWithParent } from './parent.ts'

const TOPIC = 'all'
const sql = await openPostgres(process.argv[2]!, BASELINE, 2)
await sql`create table holders (user_id uuid, role_id uuid, primary key (user_id, role_id))`
await sql`create table state (id int primary key, version int not null)`
await sql`insert into state values (1, 0)`
await sql`create table outbox (position bigint generated always as identity primary key, id uuid unique, payload jsonb)`

const store = (change: string) =>
  sql.begin(async (tx) => {
    await tx`update state set version = version + 1 where id = 1`
    await tx`insert into holders values (${randomUUIDv7()}, ${randomUUIDv7()})`
    await tx`insert into outbox (id, payload) values (${randomUUIDv7()}, ${change}), (${randomUUIDv7()}, ${change})`
  })

const server = Bun.serve({
  port: 0,
  hostname: '127.0.0.1',
  async fetch(request, self) {
    if (request.method === 'GET') return self.upgrade(request) ? undefined : new Response('ok')
    const change = await request.text()
    await store(change)
    server.publish(TOPIC, change)
    return new Response(change)
  },
  websocket: {
    open: (socket) => void socket.subscribe(TOPIC),
    message() {},
  },
})
console.log(server.port)
endWithParent()

// Carries out what is due of the audit trail, in a process of its own, and kills itself before or after one of its writes.
// Standard input: { stores, task, dieAt }; says how many it has done, where it came to that.
import type { Audit } from '@conntext/db-audit'
import type { ServerDetails } from '@conntext/db-server-details'
import { systemClock } from '@conntext/kernel'
import { eraseDue } from '../../src/audit/chain/erasure.ts'
import { createSigners } from '../../src/audit/chain/keys.ts'
import { readState } from '../../src/audit/chain/queries.ts'
import { cutExpired } from '../../src/audit/retention/service.ts'
import { type GivenStores, openStores } from './process-stores.ts'

type Given = { stores: GivenStores; task: 'retention' | 'erasure'; dieAt: number }

const { stores, task, dieAt } = (await Bun.stdin.json()) as Given
const opened = await openStores(stores, 'task process')
let moment = 0
const passing = () => {
  moment += 1
  if (moment === dieAt) process.kill(process.pid, 'SIGKILL')
}
/** The same function, between two moments at which the process may die. */
const mortal = <A extends unknown[], T>(write: (...args: A) => Promise<T>) =>
  async function (this: unknown, ...args: A): Promise<T> {
    passing()
    const answer = await write.apply(this, args)
    passing()
    return answer
  }
const audit: Audit = {
  ...opened.audit,
  mutate: mortal(opened.audit.mutate),
  insertText: mortal(opened.audit.insertText),
}
const transaction = mortal(opened.db.transaction as never) as ServerDetails['transaction']
const db = new Proxy(opened.db, {
  get: (target, name) => (name === 'transaction' ? transaction.bind(target) : Reflect.get(target, name, target)),
})
const deps = { ...opened, db, audit, signers: createSigners(opened.keyring), clock: systemClock }
const done = task === 'retention' ? await cutExpired(deps) : await eraseDue(deps, (await readState(opened.db)).logId)
console.log(done)
process.exit(0)

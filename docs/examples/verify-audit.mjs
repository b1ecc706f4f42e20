// Verifies ConnText's audit log without any of ConnText's code. Node 20 or Bun, nothing to install.
//
//   node verify-audit.mjs URL EVENT_ID [CHECKPOINT_FILE]      the token in CONNTEXT_TOKEN
//
// It asks for an event, its proof and the log's public keys, and recomputes what follows from the event alone. With a
// checkpoint that was kept elsewhere, it also has the server prove that its log still begins with what that says.
// Keep the keys that it prints, too: a server that shows others one day is not the one that you knew.
import { createHash, createPublicKey, verify } from 'node:crypto'
import { readFileSync } from 'node:fs'

const [url, eventId, checkpointFile] = process.argv.slice(2)
const bytes = (base64) => Buffer.from(base64, 'base64')
const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest()
const leafHash = (text) => sha256(Buffer.of(0), text)
const nodeHash = (left, right) => sha256(Buffer.of(1), left, right)

function check(isTrue, what) {
  console.log(`${isTrue ? 'ok   ' : 'WRONG'} ${what}`)
  if (!isTrue) process.exit(1)
}

async function get(path) {
  const answer = await fetch(new URL(path, url), { headers: { authorization: `Bearer ${process.env.CONNTEXT_TOKEN}` } })
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
  return answer.json()
}

// RFC 9162, 2.1.3.2: the root that a path leads to from a leaf.
function rootOf(leaf, index, size, path) {
  if (index >= size) return Buffer.alloc(0)
  let [fn, sn, hash] = [index, size - 1, leaf]
  for (const step of path) {
    if (sn === 0) return Buffer.alloc(0)
    if (fn % 2 === 1 || fn === sn) {
      hash = nodeHash(step, hash)
      while (fn % 2 === 0 && fn !== 0) [fn, sn] = [Math.floor(fn / 2), Math.floor(sn / 2)]
    } else hash = nodeHash(hash, step)
    ;[fn, sn] = [Math.floor(fn / 2), Math.floor(sn / 2)]
  }
  return sn === 0 ? hash : Buffer.alloc(0)
}

// RFC 9162, 2.1.4.2: whether the tree of `second` leaves begins with the one of `first`.
function isConsistent(first, second, path) {
  if (first.size === second.size) return path.length === 0 && first.root.equals(second.root)
  const steps = Number.isInteger(Math.log2(first.size)) ? [first.root, ...path] : path
  let [fn, sn] = [first.size - 1, second.size - 1]
  while (fn % 2 === 1) [fn, sn] = [Math.floor(fn / 2), Math.floor(sn / 2)]
  let [fr, sr] = [steps[0], steps[0]]
  for (const step of steps.slice(1)) {
    if (sn === 0) return false
    if (fn % 2 === 1 || fn === sn) {
      ;[fr, sr] = [nodeHash(step, fr), nodeHash(step, sr)]
      while (fn % 2 === 0 && fn !== 0) [fn, sn] = [Math.floor(fn / 2), Math.floor(sn / 2)]
    } else sr = nodeHash(sr, step)
    ;[fn, sn] = [Math.floor(fn / 2), Math.floor(sn / 2)]
  }
  return sn === 0 && fr.equals(first.root) && sr.equals(second.root)
}

const isSigned = (publicKey, text, signature) => {
  const x = publicKey.toString('base64url')
  return verify(
    null,
    Buffer.from(text),
    createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' }),
    signature,
  )
}

// C2SP tlog-checkpoint: the log's name, how many batches it has, the root over them; an empty line; signatures.
function readCheckpoint(note, { origin, keys }) {
  const [text, signatures] = note.split('\n\n')
  const [name, size, root] = text.split('\n')
  check(name === origin, `the checkpoint is of the log ${origin}`)
  const [, , base64] = signatures.trim().split(' ')
  const [keyHash, signature] = [bytes(base64).subarray(0, 4), bytes(base64).subarray(4)]
  const hashOf = (key) => sha256(`${origin}\n`, Buffer.of(1), bytes(key.publicKey)).subarray(0, 4)
  const key = keys.find((one) => hashOf(one).equals(keyHash))
  check(key && isSigned(bytes(key.publicKey), `${text}\n`, signature), `it is signed by the key ${key?.id}`)
  return { size: Number(size), root: bytes(root) }
}

// Each key is endorsed by the one before it: whoever knows the first knows all.
function checkKeys({ origin, keys }) {
  const log = origin.split('/').at(-1)
  for (const [i, { id, publicKey, endorsement }] of keys.entries()) {
    if (i === 0) continue
    const text = `conntext/audit-key\n${JSON.stringify({ key: id, log, publicKey, v: 1 })}`
    check(isSigned(bytes(keys[i - 1].publicKey), text, bytes(endorsement)), `the key ${id} is endorsed`)
  }
  console.log(`      the first key is ${keys[0].verifierKey}`)
}

// What may have to be removed one day stands in the leaf as a salted hash.
const measured = (text) => (text === null ? '-' : `${Buffer.byteLength(text)}:${text}`)
const hidden = (salt, ...values) => sha256(salt + values.map(measured).join('')).toString('hex')

function checkEvent(event, { leaf: text, origin, personal }) {
  const leaf = JSON.parse(text)
  const data = { ...JSON.parse(leaf.data), ...JSON.parse(personal?.data || '{}') }
  const { actor, target } = event
  const same = [
    ...['id', 'occurredAt', 'service', 'action', 'severity', 'outcome', 'requestId'].map((n) => [event[n], leaf[n]]),
    ...[
      [actor.kind, leaf.actorKind],
      [actor.id, leaf.actorId],
      [actor.sessionId, leaf.sessionId],
    ],
    ...[
      [target.kind, leaf.targetKind],
      [target.id, leaf.targetId],
      [event.traceId ?? null, leaf.traceId],
    ],
  ].every(([shown, proven]) => shown === proven)
  const sorted = (value) => JSON.stringify(Object.entries(value).sort())
  check(same && sorted(event.data) === sorted(data), 'the event is what its leaf says')
  const where = origin ? hidden(origin.salt, origin.address, origin.userAgent) : leaf.origin
  check(where === leaf.origin, origin ? 'so are address and user agent' : 'address and user agent: none, or erased')
  if (origin)
    check(origin.address === actor.address && origin.userAgent === actor.userAgent, 'and they are those shown')
  const whom = personal ? hidden(personal.salt, personal.data, personal.reason) : leaf.personal
  check(
    whom === leaf.personal,
    personal ? 'so are personal data and reason' : 'personal data and reason: none, or erased',
  )
  if (personal) check(personal.reason === event.reason, 'and the reason is the one shown')
}

const [event, proof, keys] = await Promise.all([
  get(`/v1/audit/events/${eventId}`),
  get(`/v1/audit/events/${eventId}/proof`),
  get('/v1/audit/keys'),
])
checkKeys(keys)
const head = readCheckpoint(proof.checkpoint, keys)
const batch = JSON.parse(proof.header)
const inLog = rootOf(leafHash(proof.header), batch.number - 1, head.size, proof.headerPath.map(bytes))
check(inLog.equals(head.root), `batch ${batch.number} is in the log of ${head.size} batches`)
const inBatch = rootOf(leafHash(proof.leaf), proof.index, batch.size, proof.path.map(bytes))
check(inBatch.equals(bytes(batch.root)), `the event is number ${proof.index} of the ${batch.size} of its batch`)
checkEvent(event, proof)
if (checkpointFile) {
  const kept = readCheckpoint(readFileSync(checkpointFile, 'utf8'), keys)
  check(kept.size <= head.size, `the log has as many batches as it had: ${kept.size}`)
  const { path } = await get(`/v1/audit/consistency?first=${kept.size}&second=${head.size}`)
  check(isConsistent(kept, head, path.map(bytes)), `the log begins with the ${kept.size} batches that it had then`)
}

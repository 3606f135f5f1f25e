// Subjects: upsert, list, read, delete.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { refused, subjects } from './harness.js'

const rest = ({ id, createdAt, updatedAt, ...others }) => {
  assert.match(id, /^[0-9A-Z]{26}$/)
  assert.ok(createdAt instanceof Date && updatedAt instanceof Date)
  return others
}
const missing = (key) => `not found error: subject not found [namespace=default subject.idOrKey=${key}]`

test('a subject is created, changed in part, and deleted', async () => {
  const [created] = await subjects.upsert({ key: 'js-one', displayName: 'One', metadata: { tier: 'gold', seats: 3 } })
  assert.deepEqual(rest(created), { key: 'js-one', displayName: 'One', metadata: { tier: 'gold', seats: 3 } })

  const period = new Date('2025-03-01T00:00:00Z')
  const [changed] = await subjects.upsert([{ key: 'js-one', stripeCustomerId: 'cus_1', currentPeriodStart: period }])
  assert.equal(changed.id, created.id)
  assert.deepEqual(rest(changed), {
    key: 'js-one', displayName: 'One', metadata: { tier: 'gold', seats: 3 }, stripeCustomerId: 'cus_1',
  })
  const [cleared] = await subjects.upsert([{ key: 'js-one', displayName: null, stripeCustomerId: null, metadata: {} }])
  assert.deepEqual(rest(cleared), { key: 'js-one', metadata: {} })

  for (const name of ['js-one', created.id]) assert.deepEqual(await subjects.get(name), cleared)
  assert.equal(await subjects.delete('js-one'), undefined)
  await refused(subjects.get('js-one'), 404, 'Not Found', missing('js-one'))
  await refused(subjects.delete('js-one'), 404, 'Not Found', missing('js-one'))
  assert.ok((await subjects.get(created.id)).deletedAt instanceof Date, 'its id still finds it')
})

test('many subjects come back in the order sent and are listed by id', async () => {
  const keys = ['js-b', 'js-a', 'js/a path', 'js-c']
  const made = await subjects.upsert(keys.map((key) => ({ key })))
  assert.deepEqual(made.map((subject) => subject.key), keys)
  assert.equal((await subjects.get('js/a path')).id, made[2].id)
  const listed = await subjects.list()
  const ids = listed.map((subject) => subject.id)
  assert.deepEqual(ids, [...ids].sort())
  assert.deepEqual(listed.map((subject) => subject.key).filter((key) => key.startsWith('js')).sort(), [...keys].sort())
  assert.deepEqual(await subjects.upsert([]), [])
})

test('a subject that breaks a rule is refused', async () => {
  const bad = 'Bad Request'
  await refused(subjects.upsert({ key: '' }), 400, bad, /key/)
  await refused(subjects.upsert({ displayName: 'no key' }), 400, bad, /key/)
  await refused(subjects.upsert({ key: 'js-x', stripeCustomerId: 'x' }), 400, bad, /stripeCustomerId must start with cus_ when set$/)
  await refused(subjects.get('js-x'), 404, 'Not Found', missing('js-x'))
})

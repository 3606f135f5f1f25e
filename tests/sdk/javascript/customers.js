// Customers: create, read, list, replace, delete; and whose a key is.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { customers, refused, subjects } from './harness.js'

const rest = ({ id, createdAt, updatedAt, ...others }) => {
  assert.match(id, /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/)
  assert.ok(createdAt instanceof Date && updatedAt instanceof Date)
  return others
}
const missing = (name) => `not found error: customer with id or key ${name} not found in default namespace`

test('a customer lives from creation to its deletion', async () => {
  const draft = {
    key: 'js-acme', name: 'Acme', description: 'The first', metadata: { tier: 'gold' }, primaryEmail: 'a@acme.io', currency: 'EUR',
    usageAttribution: { subjectKeys: ['us-js-acme', 'eu-js-acme'] }, billingAddress: { country: 'HU', city: 'Pécs', line1: '1 Fő út' },
  }
  const created = await customers.create(draft)
  const expected = { ...draft, usageAttribution: { subjectKeys: ['eu-js-acme', 'us-js-acme'] } }
  assert.deepEqual(rest(created), expected)
  for (const name of ['js-acme', created.id]) assert.deepEqual(await customers.get(name), created)
  assert.equal((await subjects.get('eu-js-acme')).metadata.customerId, created.id)

  const replaced = await customers.update('js-acme', { key: 'js-acme', name: 'Acme 2', billingAddress: { city: 'Győr' } })
  assert.deepEqual(rest(replaced), {
    key: 'js-acme', name: 'Acme 2', primaryEmail: 'a@acme.io', currency: 'EUR',
    billingAddress: { country: 'HU', city: 'Győr', line1: '1 Fő út' },
  })
  assert.equal(replaced.id, created.id)

  assert.equal(await customers.delete('js-acme'), undefined)
  assert.ok((await customers.get(created.id)).deletedAt instanceof Date, 'its id still finds it')
  await refused(customers.get('js-acme'), 404, 'Not Found', missing('js-acme'))
  const deleted = `precondition failed error: customer is deleted [namespace=default customer.id=${created.id}]`
  await refused(customers.delete(created.id), 412, 'Precondition Failed', deleted)
  await refused(customers.update(created.id, { key: 'js-acme', name: 'A' }), 412, 'Precondition Failed', deleted)
})

test('what another customer has is refused', async () => {
  const one = await customers.create({ key: 'js-one', name: 'One', usageAttribution: { subjectKeys: ['shared-js'] } })
  const conflict = (draft, detail) => refused(customers.create({ name: 'Two', ...draft }), 409, 'Conflict', `conflict error: ${detail}`)
  await conflict({ key: 'js-one' }, 'key "js-one" is already used by an another customer in the namespace default')
  await conflict({ key: one.id }, `key ${one.id} overlaps with id of another customer`)
  await conflict({ key: 'shared-js' }, `key shared-js overlaps with subject of another customer: ${one.id}`)
  await conflict(
    { usageAttribution: { subjectKeys: ['two-js', 'shared-js'] } },
    'one or multiple subject keys of [shared-js, two-js] are already associated with an different customer in the namespace default',
  )
  await refused(customers.create({ name: 'Two' }), 400, 'Bad Request', /either key or usageAttribution.subjectKeys must be provided$/)
  await refused(customers.create({ key: 'js-two' }), 400, 'Bad Request', /name/)
})

test('a list is searched, ordered and paged', async () => {
  for (const name of ['beta', 'Alpha', 'gamma']) {
    await customers.create({ key: `js-list-${name}`, name, primaryEmail: `${name}@js-list.io`, usageAttribution: { subjectKeys: [`${name}-js`] } })
  }
  await customers.delete('js-list-gamma')
  const names = async (query) => (await customers.list(query)).items.map((customer) => customer.name)
  assert.deepEqual(await names({ key: 'JS-LIST' }), ['Alpha', 'beta'])
  assert.deepEqual(await names({ primaryEmail: '@js-list', order: 'DESC' }), ['beta', 'Alpha'])
  assert.deepEqual(await names({ key: 'js-list', orderBy: 'createdAt', includeDeleted: true }), ['beta', 'Alpha', 'gamma'])
  assert.deepEqual(await names({ subject: 'BETA-J', name: 'bet', expand: ['subscriptions'] }), ['beta'])
  assert.deepEqual(await names({ planKey: 'gold' }), [])
  const { items, ...page } = await customers.list({ key: 'js-list', page: 2, pageSize: 1 })
  assert.deepEqual([page, items[0].name], [{ totalCount: 2, page: 2, pageSize: 1 }, 'beta'])
})

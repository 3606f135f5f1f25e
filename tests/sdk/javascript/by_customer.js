// Usage and events of customers.

import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { asText, events, meters, minutesAgo, plain, refused } from './harness.js'

const TYPE = 'js.owned'
const NOBODY = '01JN8T4Q6Z0000000000000CVS'
const customer = (key, ...subjectKeys) => plain.customers.create({ key, name: `Customer ${key}`, usageAttribution: { subjectKeys } })
let first, second

before(async () => {
  await meters.create({ slug: 'js_owned', aggregation: 'UNIQUE_COUNT', eventType: TYPE, valueProperty: '$.user', groupBy: { region: '$.region' } })
  const used = (minutes, subject, user) => ({ type: TYPE, subject, time: minutesAgo(minutes), data: { user, region: 'eu' } })
  await events.ingest([
    used(9, 'owned-by-js-1', 'a'),
    used(8, 'owned-by-js-1', 'b'),
    used(7, 'owned-by-js-2', 'b'),
    used(6, 'owned-by-js-2', 'c'),
    used(5, 'owned-by-js-3', 'a'),
    used(4, 'owned-by-js-nobody', 'z'),
  ])
  first = await customer('owned-by-js-1', 'owned-by-js-2')
  // The key of the first one stays its own.
  second = await customer('owned-by-js-key', 'owned-by-js-3', 'owned-by-js-1')
})

const values = ({ data }) => data.map((row) => [row.customerId, row.subject, row.value])

test('usage is told apart by customer and counted over all its subjects', async () => {
  const both = [first.id, second.id]
  const expected = [[first.id, null, 3], [second.id, null, 1]]
  assert.deepEqual(values(await meters.query('js_owned', { filterCustomerId: both })), expected)
  assert.deepEqual(values(await meters.queryPost('js_owned', { filterCustomerId: both })), expected)
  const bySubject = await meters.query('js_owned', { filterCustomerId: [first.id], groupBy: ['subject', 'customer_id'] })
  assert.deepEqual(values(bySubject), [[first.id, 'owned-by-js-2', 2], [first.id, 'owned-by-js-1', 2]])
  const table = await meters.query('js_owned', { filterCustomerId: [second.id], groupBy: ['region'] }, { ...asText, headers: { accept: 'text/csv' } })
  const [head, row, ...others] = table.trimEnd().split('\n').map((line) => line.split(',').slice(2).join(','))
  assert.deepEqual([head, row, others], ['region,customer_id,value', `eu,${second.id},1.000000`, []])
})

test('both lists show whose events are and are narrowed by it', async () => {
  const subjects = (rows) => rows.map((row) => [row.event.subject.at(-1), row.customerId, row.validationError])
  const expected = ['2', '2', '1', '1'].map((subject) => [subject, first.id, undefined])
  assert.deepEqual(subjects(await events.list({ customerId: [first.id] })), expected)
  const filter = JSON.stringify({ customerId: { $in: [first.id] } })
  assert.deepEqual(subjects((await events.listV2({ filter })).items), expected)
})

test('a customer that is not there is told by its id', async () => {
  const missing = `not found error: customer with id ${NOBODY} not found`
  await refused(meters.query('js_owned', { filterCustomerId: [first.id, NOBODY] }), 404, 'Not Found', missing)
  await refused(meters.queryPost('js_owned', { filterCustomerId: [NOBODY] }), 404, 'Not Found', missing)
  const unknown = `validation error: customers not found in namespace default: ${NOBODY}`
  await refused(events.list({ customerId: [NOBODY] }), 400, 'Bad Request', unknown)
  const lone = 'validation error: customer filter is required with customer_id group by'
  await refused(meters.query('js_owned', { groupBy: ['customer_id'] }), 400, 'Bad Request', lone)
})

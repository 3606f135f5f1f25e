// Ingest, and both lists of events.

import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { events, meters, minutesAgo, refused } from './harness.js'

const TYPE = 'js.event'
const SUBJECT = 'js-events'
const [first, second, third] = [minutesAgo(30), minutesAgo(20), minutesAgo(10)]

const event = (id, time, more = {}) => ({ id, time, source: 'js', type: TYPE, subject: SUBJECT, specversion: '1.0', ...more })

before(async () => {
  await meters.create({ slug: 'js_events', aggregation: 'COUNT', eventType: TYPE })
  await events.ingest([
    event('js-list-1', first, { data: { tokens: 1, at: 'noon', nested: { a: [1, null] } } }),
    event('js-list-2', second),
    event('js-list-3', third, { data: { tokens: 3 } }),
  ])
})

const ids = (rows) => rows.map((row) => row.event.id)

test('one event gets its defaults from the client and is listed as it was sent', async () => {
  assert.equal(await events.ingest({ type: TYPE, subject: 'js-single', data: { tokens: 7 } }), undefined)
  const [row, ...others] = await events.list({ subject: 'js-single' })
  assert.deepEqual(others, [])
  assert.match(row.event.id, /^[0-9a-f-]{36}$/)
  assert.ok(row.event.time instanceof Date && Math.abs(row.event.time - Date.now()) < 60_000)
  assert.deepEqual(
    { ...row.event, id: 'any', time: 'any' },
    {
      id: 'any',
      time: 'any',
      source: '@openmeter/sdk',
      specversion: '1.0',
      type: TYPE,
      subject: 'js-single',
      datacontenttype: 'application/json',
      data: { tokens: 7 },
    },
  )
  assert.ok(row.ingestedAt instanceof Date && row.storedAt instanceof Date)
})

test('a batch is listed newest first, data as it came', async () => {
  const rows = await events.list({ subject: SUBJECT })
  assert.deepEqual(ids(rows), ['js-list-3', 'js-list-2', 'js-list-1'])
  assert.deepEqual(rows[2].event.data, { tokens: 1, at: 'noon', nested: { a: [1, null] } })
  assert.deepEqual(rows[1].event, event('js-list-2', second))
  assert.equal(rows[0].validationError, `no customer found for event subject: ${SUBJECT}`, 'nothing else is wrong')
})

test('the list is narrowed by period, part of an id and number', async () => {
  const list = async (query) => ids(await events.list({ subject: SUBJECT, ...query }))
  assert.deepEqual(await list({ from: second }), ['js-list-3', 'js-list-2'])
  assert.deepEqual(await list({ from: first, to: third }), ['js-list-2', 'js-list-1'])
  assert.deepEqual(await list({ id: 'list-2' }), ['js-list-2'])
  assert.deepEqual(await list({ limit: 1 }), ['js-list-3'])
  assert.deepEqual(await list({ ingestedAtFrom: minutesAgo(60), ingestedAtTo: minutesAgo(50) }), [])
})

test('an event sent again counts once', async () => {
  await events.ingest([event('js-list-1', third), event('js-list-1', third)])
  const { data } = await meters.query('js_events', { subject: [SUBJECT] })
  assert.deepEqual(data.map((row) => row.value), [3])
})

test('an event without a meter says so in the list', async () => {
  await events.ingest({ type: 'js.unknown', subject: 'js-unknown' })
  const [row] = await events.list({ subject: 'js-unknown' })
  assert.equal(row.validationError.split('\n')[0], 'no meter found for event type: js.unknown')
})

test('the second list pages by cursor and filters by JSON', async () => {
  const filter = JSON.stringify({ subject: { $eq: SUBJECT } })
  const page = await events.listV2({ filter, limit: 2 })
  assert.deepEqual(ids(page.items), ['js-list-3', 'js-list-2'])
  const next = await events.listV2({ filter, limit: 2, cursor: page.nextCursor })
  assert.deepEqual(ids(next.items), ['js-list-1'])
  assert.equal(next.nextCursor, undefined)

  const found = async (filter) => ids((await events.listV2({ filter: JSON.stringify(filter) })).items)
  assert.deepEqual(await found({ id: { $in: ['js-list-1', 'js-list-3'] } }), ['js-list-3', 'js-list-1'])
  assert.deepEqual(await found({ subject: { $like: 'js-ev%' }, time: { $lt: second } }), ['js-list-1'])
  assert.deepEqual(await found({ id: { $or: [{ $eq: 'js-list-2' }, { $eq: 'no-such' }] } }), ['js-list-2'])
})

test('what cannot be taken is refused by name', async () => {
  const bad = 'Bad Request'
  await refused(events.ingest({ type: TYPE }), 400, bad, /subject/)
  await refused(events.ingest([event('js-whole', first), { type: TYPE, subject: '' }]), 400, bad, /subject/)
  assert.deepEqual(await events.list({ id: 'js-whole' }), [], 'a batch is taken whole or not at all')
  await refused(events.list({ limit: 101 }), 400, bad, /^parameter "limit" in query has an error: /)
  await refused(events.list({ from: new Date('2020-01-01') }), 400, bad, /^validation error: validate input: from date is too old/)
  await refused(events.listV2({ cursor: 'none' }), 400, bad, /^validation error: /)
  await refused(events.listV2({ filter: '{"subject":' }), 400, bad, /^unmarshaling param filter: /)
})

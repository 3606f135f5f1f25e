// Meters: create, read, change, delete.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { events, meters, minutesAgo, refused } from './harness.js'

const ULID = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/
const draft = {
  slug: 'js_life',
  name: 'Life',
  description: 'From creation to deletion',
  aggregation: 'SUM',
  eventType: 'js.life',
  valueProperty: '$.amount',
  groupBy: { region: '$.region' },
  metadata: { team: 'a' },
}

/** What weir adds to what was sent. */
function split({ id, createdAt, updatedAt, ...rest }) {
  assert.match(id, ULID)
  assert.ok(createdAt instanceof Date && updatedAt instanceof Date)
  return { id, createdAt, updatedAt, rest }
}

test('a meter lives from creation to deletion', async () => {
  const created = split(await meters.create(draft))
  assert.deepEqual(created.rest, { ...draft, annotations: null })
  assert.deepEqual(created.updatedAt, created.createdAt)

  for (const name of [draft.slug, created.id]) {
    assert.deepEqual(await meters.get(name), { ...draft, annotations: null, id: created.id, createdAt: created.createdAt, updatedAt: created.updatedAt })
  }

  const changed = split(await meters.update(draft.slug, { name: 'Longer life', groupBy: { kind: '$.kind' } }))
  // The description is kept, metadata is cleared: clients know it so.
  assert.deepEqual(changed.rest, { ...draft, name: 'Longer life', groupBy: { kind: '$.kind' }, metadata: null, annotations: null })
  assert.deepEqual([changed.id, changed.createdAt], [created.id, created.createdAt])
  assert.ok(changed.updatedAt >= created.updatedAt)
  const bare = await meters.update(created.id, {})
  assert.equal(bare.name, draft.slug, 'a name left out is the slug again')
  assert.equal('groupBy' in bare, false)

  assert.equal(await meters.delete(draft.slug), undefined)
  await refused(meters.get(draft.slug), 404, 'Not Found', 'not found error: meter not found: js_life')
  await refused(meters.delete(draft.slug), 404, 'Not Found', 'not found error: meter not found: js_life')
  assert.ok((await meters.get(created.id)).deletedAt instanceof Date, 'its id still finds it')
  assert.equal(await meters.delete(created.id), undefined)

  const again = await meters.create({ slug: draft.slug, aggregation: 'COUNT', eventType: 'js.life' })
  assert.notEqual(again.id, created.id)
  assert.deepEqual(split(again).rest, {
    slug: draft.slug, name: draft.slug, aggregation: 'COUNT', eventType: 'js.life', metadata: null, annotations: null,
  })
  await meters.delete(again.id)
})

test('a changed group-by holds for what came before', async () => {
  const slug = 'js_regrouped'
  await meters.create({ slug, aggregation: 'COUNT', eventType: 'js.regrouped' })
  await events.ingest(['eu', 'us', 'eu'].map((region) => ({ type: 'js.regrouped', subject: 'js', data: { region } })))
  await meters.update(slug, { groupBy: { region: '$.region' } })
  const { data } = await meters.query(slug, { groupBy: ['region'] })
  assert.deepEqual(data.map((row) => [row.groupBy.region, row.value]), [['eu', 2], ['us', 1]])
})

test('the list is ordered by slug and has the meters of the file', async () => {
  const slugs = (await meters.list()).map((meter) => meter.slug)
  assert.deepEqual(slugs, [...slugs].sort())
  assert.ok(slugs.includes('api_requests_total') && slugs.includes('js_events'))
})

test('the values of a dimension are listed', async () => {
  const slug = 'js_values'
  await meters.create({ slug, aggregation: 'COUNT', eventType: 'js.values', groupBy: { region: '$.region' } })
  const at = (minutes, region) => ({ type: 'js.values', subject: 'js', time: minutesAgo(minutes), data: { region } })
  await events.ingest([at(30, 'us'), at(20, 'eu'), at(20, 'us'), at(3 * 24 * 60, 'asia')])
  assert.deepEqual(await meters.listGroupByValues(slug, 'region'), ['eu', 'us'])
  const query = { from: minutesAgo(5 * 24 * 60), to: minutesAgo(25) }
  assert.deepEqual(await meters.listGroupByValues(slug, 'region', query), ['asia', 'us'])
  await refused(meters.listGroupByValues(slug, 'none'), 400, 'Bad Request', /group by key is not valid for this meter$/)
})

test('eventFrom is where a meter begins to count', async () => {
  const eventFrom = new Date('2025-01-02T00:00:00Z')
  const meter = await meters.create({ slug: 'js_begins', aggregation: 'COUNT', eventType: 'js.begins', eventFrom })
  assert.deepEqual(meter.eventFrom, eventFrom)
  const at = (time) => ({ type: 'js.begins', subject: 'js', time: new Date(time) })
  await events.ingest([at('2025-01-01T23:59:59Z'), at('2025-01-02T00:00:00Z')])
  const { data } = await meters.query(meter.id)
  assert.deepEqual(data.map((row) => row.value), [1])
})

test('a meter that breaks a rule is refused with the rule', async () => {
  const create = (change) => meters.create({ ...draft, slug: 'js_refused', ...change })
  const bad = 'Bad Request'
  const schema = "request body has an error: doesn't match schema #/components/schemas/MeterCreate: "
  const starts = (text) => new RegExp(`^${text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}`)
  await refused(create({ slug: 'js_events' }), 409, 'Conflict', 'conflict error: meter with the same slug already exists')
  await refused(create({ slug: 'Not A Slug' }), 400, bad, starts(`${schema}Error at "/slug": `))
  await refused(create({ eventType: undefined }), 400, bad, starts(`${schema}Error at "/eventType": `))
  await refused(create({ aggregation: 'MEDIAN' }), 400, bad, starts(`${schema}Error at "/aggregation": `))
  await refused(
    create({ aggregation: 'COUNT' }), 400, bad,
    'validation error: invalid meter aggregation: meter value property is not allowed when the aggregation is count',
  )
  await refused(
    create({ valueProperty: undefined }), 400, bad,
    'validation error: invalid meter aggregation: meter value property is required when the aggregation is not count',
  )
  await refused(create({ groupBy: { 'not-a-name': '$.a' } }), 400, bad, /meter group by key not-a-name is invalid/)
  await refused(meters.get('js_no_such'), 404, 'Not Found', 'not found error: meter not found: js_no_such')
  await refused(meters.update('js_no_such', {}), 404, 'Not Found', 'not found error: meter not found: js_no_such')
  await refused(meters.get('Not-A-Slug'), 400, bad, starts('parameter "meterIdOrSlug" in path has an error: '))
})

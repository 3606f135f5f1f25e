// Features: create, read, list, archive; and what they keep their meters from.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { features, meters, refused } from './harness.js'

const meter = (slug) => ({
  slug, aggregation: 'SUM', eventType: 'js.tokens', valueProperty: '$.tokens', groupBy: { model: '$.model', kind: '$.kind' },
})
const rest = ({ id, createdAt, updatedAt, ...others }) => {
  assert.match(id, /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/)
  assert.ok(createdAt instanceof Date && updatedAt instanceof Date)
  return others
}
const missing = (name) => `feature not found: ${name}`

test('a feature lives from creation to its archive', async () => {
  await meters.create(meter('js_tokens'))
  const draft = {
    key: 'js_gpt', name: 'GPT', metadata: { team: 'a' }, meterSlug: 'js_tokens', meterGroupByFilters: { model: 'gpt-4' },
    unitCost: { type: 'manual', amount: '0.0000030' },
  }
  const created = await features.create(draft)
  assert.deepEqual(rest(created), {
    ...draft,
    advancedMeterGroupByFilters: { model: { $eq: 'gpt-4' } },
    unitCost: { type: 'manual', amount: '0.000003' },
  })
  for (const name of ['js_gpt', created.id]) assert.deepEqual(await features.get(name), created)
  await refused(features.create(draft), 409, 'Conflict', `feature ${created.id} with key js_gpt already exists`)

  await refused(meters.delete('js_tokens'), 409, 'Conflict', 'conflict error: meter has active features and cannot be deleted')
  await refused(
    meters.update('js_tokens', { groupBy: { kind: '$.kind' } }), 409, 'Conflict',
    'conflict error: meter group by: model cannot be dropped because it is used by feature: js_gpt',
  )

  assert.equal(await features.delete('js_gpt'), undefined)
  for (const name of ['js_gpt', created.id]) {
    await refused(features.get(name), 404, 'Not Found', missing(name))
    await refused(features.delete(name), 404, 'Not Found', missing(name))
  }
  const archived = (await features.list({ includeArchived: true, meterSlug: ['js_tokens'] }))[0]
  assert.ok(archived.archivedAt instanceof Date && archived.id === created.id)
  assert.equal(await meters.delete('js_tokens'), undefined)
})

test('filters come back in the form that can hold them', async () => {
  await meters.create(meter('js_filters'))
  const advancedMeterGroupByFilters = { model: { $or: [{ $like: 'gpt-%' }, { $in: ['o1', 'o3'] }] } }
  const made = await features.create({ key: 'js_family', name: 'Family', meterSlug: 'js_filters', advancedMeterGroupByFilters })
  assert.deepEqual(rest(made), { key: 'js_family', name: 'Family', meterSlug: 'js_filters', advancedMeterGroupByFilters })
  const cost = { type: 'llm', provider: 'openai', modelProperty: 'model', tokenTypeProperty: 'kind' }
  const priced = await features.create({ key: 'js_priced', name: 'Priced', meterSlug: 'js_filters', unitCost: cost })
  assert.deepEqual(priced.unitCost, cost)
})

test('a list is an array, or a page when one is asked for', async () => {
  for (const key of ['js_list_b', 'js_list_a', 'js_list_c']) await features.create({ key, name: key })
  const keys = (list) => list.map((feature) => feature.key).filter((key) => key.startsWith('js_list'))
  assert.deepEqual(keys(await features.list()), ['js_list_a', 'js_list_b', 'js_list_c'])
  assert.deepEqual(keys(await features.list({ orderBy: 'createdAt', order: 'DESC' })), ['js_list_c', 'js_list_a', 'js_list_b'])
  const page = await features.list({ page: 1, pageSize: 1000 })
  assert.deepEqual([page.page, page.pageSize, page.items.length], [1, 1000, page.totalCount])
  assert.deepEqual(keys(page.items), ['js_list_a', 'js_list_b', 'js_list_c'])
})

test('a feature that breaks a rule is refused', async () => {
  const bad = 'Bad Request'
  const create = (members) => features.create({ key: 'js_bad', name: 'Bad', ...members })
  await meters.create({ slug: 'js_mean', aggregation: 'AVG', eventType: 'js.mean', valueProperty: '$.v' })
  await refused(create({ meterSlug: 'js_nope' }), 404, 'Not Found', 'not found error: meter not found: js_nope')
  await refused(create({ meterSlug: 'js_mean' }), 400, bad, /aggregates by AVG/)
  await refused(create({ meterSlug: 'js_filters', meterGroupByFilters: { zone: 'a' } }), 400, bad, /zone is not a group by of meter js_filters/)
  await refused(create({ key: '01jk0000000000000000000000' }), 400, bad, /must not be a ULID$/)
  await refused(create({ unitCost: { type: 'manual', amount: '-1' } }), 400, bad, /amount must not be negative$/)
  await refused(create({ key: 'Not A Key' }), 400, bad, /key/)
})

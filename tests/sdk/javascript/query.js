// Every form in which the client asks for usage, and its exact answer.

import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { asText, events, info, meters, refused } from './harness.js'

const TYPE = 'js.job'
const ZONE = 'America/Los_Angeles' // its clocks went forward on 9 March 2025
const at = (time) => new Date(`2025-${time}Z`)
const EXACT = ['0.1', '1e2', '12345678901234567890.123456789', '0.1234567890123456789012345678']

before(async () => {
  const groupBy = { region: '$.region', kind: '$.kind' }
  for (const aggregation of ['SUM', 'AVG', 'MIN', 'MAX', 'LATEST']) {
    await meters.create({ slug: `js_${aggregation.toLowerCase()}`, aggregation, eventType: TYPE, valueProperty: '$.seconds', groupBy })
  }
  await meters.create({ slug: 'js_users', aggregation: 'UNIQUE_COUNT', eventType: TYPE, valueProperty: '$.user' })
  await meters.create({ slug: 'js_count', aggregation: 'COUNT', eventType: TYPE })
  await meters.create({ slug: 'js_exact', aggregation: 'SUM', eventType: 'js.exact', valueProperty: '$.amount' })
  const job = (time, subject, data) => ({ type: TYPE, subject, time: at(time), data })
  await events.ingest([
    job('03-09T07:30:00', 'acme', { region: 'eu', kind: 'batch', seconds: 1.5, user: 'a' }),
    job('03-09T08:00:00', 'acme', { region: 'eu', kind: 'live', seconds: '2', user: 'b' }),
    job('03-09T08:00:30', 'beta', { region: 'us', kind: 'batch', seconds: 4, user: 'a' }),
    job('03-10T06:59:59.999', 'acme', { region: 'us', kind: 'batch', seconds: 8, user: 'c' }),
    job('03-10T07:00:00', 'beta', { region: 'eu', kind: 'live', seconds: 0.1, user: 'b' }),
    job('04-01T00:00:00', 'acme', { kind: 'live', seconds: 16, user: 'a' }),
  ])
  await events.ingest(EXACT.map((amount) => ({ type: 'js.exact', subject: amount, time: at('03-09T00:00:00'), data: { amount } })))
})

/** `[from, to, value]` of rows that are told apart by nothing else. */
const windows = ({ data }) =>
  data.map((row) => {
    assert.deepEqual([row.subject, row.groupBy, 'customerId' in row], [null, {}, false])
    return [row.windowStart, row.windowEnd, row.value]
  })
const values = ({ data }, key) => data.map((row) => [key ? row.groupBy[key] : row.subject, row.value])

test('without a window there is one row, from the first event to the last', async () => {
  assert.deepEqual(await meters.query('js_sum'), {
    data: [{ value: 31.6, windowStart: at('03-09T07:30:00'), windowEnd: at('04-01T00:01:00'), subject: null, groupBy: {} }],
  })
})

test('every aggregation answers its number', async () => {
  const value = async (name) => (await meters.query(`js_${name}`)).data[0].value
  const found = {}
  for (const name of ['sum', 'count', 'users', 'avg', 'min', 'max', 'latest']) found[name] = await value(name)
  assert.deepEqual(found, { sum: 31.6, count: 6, users: 3, avg: 5.266666666666667, min: 0.1, max: 16, latest: 16 })
})

test('from is in, to is out, and both are echoed', async () => {
  const [from, to] = [at('03-09T08:00:00'), at('03-10T07:00:00')]
  assert.deepEqual(await meters.query('js_sum', { from, to }), {
    from,
    to,
    data: [{ value: 14, windowStart: from, windowEnd: to, subject: null, groupBy: {} }],
  })
  const text = await meters.query('js_sum', { from: '2025-03-09T10:00:00+02:00', to }, asText)
  assert.match(text, /"from":"2025-03-09T10:00:00\+02:00"/, 'a bound is echoed as it was sent')
})

test('windows are those of the calendar', async () => {
  const minute = await meters.query('js_sum', { windowSize: 'MINUTE', from: at('03-09T08:00:00'), to: at('03-09T08:02:00') })
  assert.equal(minute.windowSize, 'MINUTE')
  assert.deepEqual(windows(minute), [[at('03-09T08:00:00'), at('03-09T08:01:00'), 6]])
  assert.deepEqual(windows(await meters.query('js_sum', { windowSize: 'HOUR', to: at('03-10T07:00:00') })), [
    [at('03-09T07:00:00'), at('03-09T08:00:00'), 1.5],
    [at('03-09T08:00:00'), at('03-09T09:00:00'), 6],
    [at('03-10T06:00:00'), at('03-10T07:00:00'), 8],
  ])
  assert.deepEqual(windows(await meters.query('js_sum', { windowSize: 'DAY' })), [
    [at('03-09T00:00:00'), at('03-10T00:00:00'), 7.5],
    [at('03-10T00:00:00'), at('03-11T00:00:00'), 8.1],
    [at('04-01T00:00:00'), at('04-02T00:00:00'), 16],
  ])
  assert.deepEqual(windows(await meters.query('js_sum', { windowSize: 'MONTH' })), [
    [at('03-01T00:00:00'), at('04-01T00:00:00'), 15.6],
    [at('04-01T00:00:00'), at('05-01T00:00:00'), 16],
  ])
})

test('windows of a time zone follow its clocks and show them', async () => {
  const query = { windowSize: 'DAY', windowTimeZone: ZONE, to: at('03-11T00:00:00') }
  assert.deepEqual(windows(await meters.query('js_sum', query)), [
    [at('03-08T08:00:00'), at('03-09T08:00:00'), 1.5],
    [at('03-09T08:00:00'), at('03-10T07:00:00'), 14],
    [at('03-10T07:00:00'), at('03-11T07:00:00'), 0.1],
  ])
  const text = await meters.query('js_sum', query, asText)
  const shown = JSON.parse(text).data.map((row) => [row.windowStart, row.windowEnd])
  assert.deepEqual(shown[1], ['2025-03-09T00:00:00-08:00', '2025-03-10T00:00:00-07:00'])
  assert.deepEqual(windows(await meters.query('js_sum', { windowSize: 'MONTH', windowTimeZone: ZONE })), [
    [at('03-01T08:00:00'), at('04-01T07:00:00'), 31.6],
  ])
})

test('a subject filters and is shown; of several, the later name is first', async () => {
  assert.deepEqual(await meters.query('js_sum', { subject: ['acme'] }), {
    data: [{ value: 27.5, windowStart: at('03-09T07:30:00'), windowEnd: at('04-01T00:01:00'), subject: 'acme', groupBy: {} }],
  })
  assert.deepEqual(values(await meters.query('js_sum', { subject: ['acme', 'beta'] })), [['beta', 4.1], ['acme', 27.5]])
  assert.deepEqual(values(await meters.query('js_sum', { groupBy: ['subject'] })), [['beta', 4.1], ['acme', 27.5]])
  assert.deepEqual(await meters.query('js_sum', { subject: ['no,such'] }), { data: [] })
})

test('rows are told apart by dimensions', async () => {
  assert.deepEqual(values(await meters.query('js_sum', { groupBy: ['region'] }), 'region'), [['', 16], ['eu', 3.6], ['us', 12]])
  const { data } = await meters.query('js_sum', { groupBy: ['region', 'kind'], subject: ['acme'], windowSize: 'MONTH' })
  assert.deepEqual(data.map((row) => [row.subject, row.groupBy, row.value]), [
    ['acme', { region: 'eu', kind: 'batch' }, 1.5],
    ['acme', { region: 'eu', kind: 'live' }, 2],
    ['acme', { region: 'us', kind: 'batch' }, 8],
    ['acme', { region: '', kind: 'live' }, 16],
  ])
})

test('dimensions filter, plainly and with operators', async () => {
  const value = async (query) => (await meters.query('js_sum', query)).data[0]?.value
  assert.equal(await value({ filterGroupBy: { region: 'eu' } }), 3.6)
  assert.equal(await value({ filterGroupBy: { region: 'eu', kind: 'live' } }), 2.1)
  assert.equal(await value({ filterGroupBy: { region: 'none' } }), undefined)
  const filter = { region: { $in: ['eu', 'us'] }, kind: { $ne: 'live' } }
  assert.equal(await value({ advancedMeterGroupByFilters: JSON.stringify(filter) }), 13.5)
})

test('a body asks for the same and for more', async () => {
  const [from, to] = [at('03-09T08:00:00'), at('03-11T00:00:00')]
  assert.deepEqual(await meters.queryPost('js_sum', { from, to, windowSize: 'MONTH', windowTimeZone: ZONE, subject: ['beta'] }), {
    from,
    to,
    windowSize: 'MONTH',
    data: [{ value: 4.1, windowStart: at('03-01T08:00:00'), windowEnd: at('04-01T07:00:00'), subject: 'beta', groupBy: {} }],
  })
  const regions = async (body) => values(await meters.queryPost('js_sum', { groupBy: ['region'], ...body }), 'region')
  assert.deepEqual(await regions({}), [['', 16], ['eu', 3.6], ['us', 12]])
  assert.deepEqual(await regions({ filterGroupBy: { region: ['eu', 'us'], kind: ['batch'] } }), [['eu', 1.5], ['us', 12]])
  const operators = async (region) => (await regions({ advancedMeterGroupByFilters: { region } })).map(([name]) => name)
  assert.deepEqual(await operators({ $eq: 'eu' }), ['eu'])
  assert.deepEqual(await operators({ $nin: ['eu'] }), ['', 'us'])
  assert.deepEqual(await operators({ $like: '_s' }), ['us'])
  assert.deepEqual(await operators({ $nilike: 'E%' }), ['', 'us'])
  assert.deepEqual(await operators({ $gt: 'eu' }), ['us'])
  assert.deepEqual(await operators({ $or: [{ $eq: 'us' }, { $and: [{ $gte: 'e' }, { $lt: 'f' }] }] }), ['eu', 'us'])
})

test('nothing found is no row, but a count of nothing is 0', async () => {
  const [from, to] = [at('01-01T00:00:00'), at('01-02T00:00:00')]
  assert.deepEqual((await meters.query('js_sum', { from, to })).data, [])
  assert.deepEqual(windows(await meters.query('js_count', { from, to })), [[from, to, 0]])
  assert.deepEqual((await meters.query('js_count', { from, to, subject: ['acme'] })).data, [])
})

test('every digit is kept', async () => {
  const shown = []
  for (const amount of EXACT) {
    const text = await meters.query('js_exact', { subject: [amount] }, asText)
    shown.push(/"value":([^,}]+)/.exec(text)[1])
  }
  assert.deepEqual(shown, ['0.1', '100', '12345678901234567890.123456789', '0.1234567890123456789012345678'])
  const { data } = await meters.query('js_exact', { subject: [EXACT[2]] })
  assert.equal(data[0].value, 12345678901234567890.123456789)
})

test('the progress of a query is found by the id that the client gave it', async () => {
  const clientId = 'js-progress'
  await meters.query('js_sum', { clientId })
  const { updatedAt, ...counted } = await info.getProgress(clientId)
  assert.ok(updatedAt instanceof Date)
  assert.equal(counted.failed, 0)
  assert.equal(counted.success, counted.total)
  await refused(info.getProgress('js-never'), 404, 'Not Found', 'not found error: progress not found for id: js-never')
})

test('a query that cannot be answered says why', async () => {
  const [bad, from] = ['Bad Request', at('03-09T00:00:00')]
  const ask = (query) => meters.query('js_sum', query)
  const post = (body) => meters.queryPost('js_sum', body)
  await refused(meters.query('js_no_such'), 404, 'Not Found', 'not found error: meter not found: js_no_such')
  await refused(meters.queryPost('js_no_such', {}), 404, 'Not Found', 'not found error: meter not found: js_no_such')
  await refused(ask({ windowSize: 'WEEK' }), 400, bad, /^parameter "windowSize" in query has an error: /)
  await refused(post({ windowSize: 'WEEK' }), 400, bad, /^request body has an error: .*"\/windowSize"/)
  for (const call of [ask, post]) {
    await refused(call({ from, to: from }), 400, bad, 'validation error: from and to cannot be equal')
    await refused(call({ from, to: at('03-08T00:00:00') }), 400, bad, 'validation error: from must be before to')
    await refused(call({ windowTimeZone: 'Mars/Base' }), 400, bad, /^validation error: invalid time zone: /)
    await refused(call({ groupBy: ['none'] }), 400, bad, 'validation error: invalid group by: none')
  }
  await refused(ask({ filterGroupBy: { none: 'a' } }), 400, bad, 'validation error: invalid group by filter: none')
  await refused(post({ advancedMeterGroupByFilters: { none: { $eq: 'a' } } }), 400, bad, 'validation error: meter does not have group by: none')
  await refused(ask({ from: '2025-03-09' }), 400, bad, /from/)
})

// What the client can ask beside usage.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { asText, debug, events, info } from './harness.js'

test('currencies are listed, the common ones first', async () => {
  const currencies = await info.listCurrencies()
  assert.deepEqual(currencies.slice(0, 6).map((currency) => currency.code), ['USD', 'EUR', 'GBP', 'AUD', 'CAD', 'JPY'])
  assert.deepEqual(currencies[0], { code: 'USD', name: 'United States Dollar', symbol: '$', subunits: 2 })
  assert.equal(currencies[5].subunits, 0)
  const codes = currencies.slice(6).map((currency) => currency.code)
  assert.deepEqual(codes, [...codes].sort())
  assert.equal(new Set(codes).size, codes.length)
  assert.ok(currencies.length >= 171, `${currencies.length}`)
})

test('metrics count the events of each subject since midnight', async () => {
  // Tomorrow is after midnight whatever the clock shows.
  const time = new Date(Date.now() + 24 * 3_600_000)
  await events.ingest([1, 2, 3].map(() => ({ type: 'js.metrics', subject: 'js-metrics', time })))
  const lines = (await debug.getMetrics(asText)).split('\n')
  assert.deepEqual(lines.slice(0, 3), [
    '# HELP openmeter_events Number of ingested events',
    '# TYPE openmeter_events counter',
    '# UNIT openmeter_events events',
  ])
  assert.ok(lines.includes('openmeter_events_total{subject="js-metrics"} 3.0'), lines.join('\n'))
})

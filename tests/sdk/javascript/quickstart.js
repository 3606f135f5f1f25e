// The peer's quickstart, line by line.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { events, meters } from './harness.js'

test('the quickstart sends one event and prints 1', async () => {
  const subject = 'quickstart-ts'
  await events.ingest({ type: 'request', subject, data: { method: 'GET', route: '/hello' } })
  const usage = await meters.query('api_requests_total', { subject: [subject] })
  assert.equal(`${usage.data[0].value}`, '1')
  assert.equal(usage.data[0].subject, subject)
})

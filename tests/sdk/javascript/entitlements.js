// Entitlements by customer and by subject, their grants, overrides and resets; what they give, and how that went.

import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { customers, entitlements, entitlementsV1, events, features, meters, refused } from './harness.js'

const ULID = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/
const minute = (date) => new Date(Math.floor(date.getTime() / 60_000) * 60_000)
const monthly = { type: 'metered', featureKey: 'js_calls', usagePeriod: { interval: 'MONTH', anchor: new Date('2025-01-01T00:00:00Z') } }
// Its period runs since the beginning of this month: what is granted from then on is granted.
const thisMonth = () => {
  const now = new Date()
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 1))
}
const missing = (name) => `entitlement not found ${name} in namespace default`
const rest = ({ id, createdAt, updatedAt, activeFrom, ...others }) => {
  assert.match(id, ULID)
  for (const date of [createdAt, updatedAt, activeFrom]) assert.ok(date instanceof Date)
  return others
}

before(async () => {
  await meters.create({ slug: 'js_calls', aggregation: 'SUM', eventType: 'js.call', valueProperty: '$.n' })
  await features.create({ key: 'js_calls', name: 'Calls', meterSlug: 'js_calls' })
  await features.create({ key: 'js_sso', name: 'SSO' })
  await features.create({ key: 'js_config', name: 'Config' })
  for (const key of ['js-ent', 'js-ent-v1', 'js-ent-kinds', 'js-ent-value'])
    await customers.create({ key, name: key, usageAttribution: { subjectKeys: [`s-${key}`] } })
})

test('a metered entitlement of a customer is made, replaced and deleted', async () => {
  const draft = { ...monthly, measureUsageFrom: 'CURRENT_PERIOD_START', issue: { amount: 100, priority: 3 }, metadata: { a: 'b' } }
  const made = await customers.entitlements.create('js-ent', draft)
  assert.deepEqual([made.type, made.customerKey, made.featureKey], ['metered', 'js-ent', 'js_calls'])
  assert.deepEqual([made.issue, made.issueAfterReset, made.issueAfterResetPriority], [{ amount: 100, priority: 3 }, 100, 3])
  assert.deepEqual([made.isSoftLimit, made.preserveOverageAtReset, made.metadata], [false, false, { a: 'b' }])
  assert.deepEqual(made.usagePeriod, { anchor: new Date('2025-01-01T00:00:00Z'), interval: 'MONTH', intervalISO: 'P1M' })
  assert.deepEqual([made.measureUsageFrom, made.lastReset, made.currentUsagePeriod.from], Array(3).fill(thisMonth()))
  for (const name of ['js_calls', made.id]) assert.deepEqual(await customers.entitlements.get('js-ent', name), made)
  assert.deepEqual(await entitlements.get(made.id), made)
  assert.deepEqual((await customers.entitlements.list('js-ent')).items, [made])

  const again = customers.entitlements.create('js-ent', { type: 'boolean', featureKey: 'js_calls' })
  const taken = `entitlement with id ${made.id} already exists for feature ${made.featureId} and customer ${made.customerId}`
  await refused(again, 409, 'Conflict', taken)
  const other = customers.entitlements.override('js-ent', 'js_calls', { type: 'boolean', featureKey: 'js_sso' })
  await refused(other, 400, 'Bad Request', 'validation error: old and new entitlements belong to different features')
  const replaced = await customers.entitlements.override('js-ent', 'js_calls', { ...monthly, isSoftLimit: true })
  assert.deepEqual([replaced.isSoftLimit, replaced.issue], [true, { amount: 0 }])
  assert.deepEqual((await entitlements.get(made.id)).activeTo, replaced.activeFrom)
  const all = await entitlements.list({ query: { customerKeys: ['js-ent'], page: 1, pageSize: 10 } })
  assert.deepEqual(all.items.map((it) => it.id), [made.id, replaced.id])
  assert.deepEqual([all.page, all.pageSize, all.totalCount], [1, 10, 2])

  await refused(customers.delete('js-ent'), 409, 'Conflict', /still has active entitlements/)
  assert.equal(await customers.entitlements.delete('js-ent', 'js_calls'), undefined)
  await refused(customers.entitlements.get('js-ent', 'js_calls'), 404, 'Not Found', missing('js_calls'))
})

test('a static and a boolean entitlement', async () => {
  const config = '{"b":1,"aa":[1,2]}'
  const fixed = await customers.entitlements.create('js-ent-kinds', { type: 'static', featureKey: 'js_config', config })
  const { customerId, featureId, ...others } = rest(fixed)
  assert.deepEqual(others, { type: 'static', customerKey: 'js-ent-kinds', featureKey: 'js_config', config: '{"b": 1, "aa": [1, 2]}' })
  const bool = await customers.entitlements.create('js-ent-kinds', { type: 'boolean', featureKey: 'js_sso' })
  const kinds = async (entitlementType) =>
    (await entitlements.list({ query: { customerIds: [customerId], entitlementType } })).items.map((it) => it.id)
  assert.deepEqual(await kinds(['static']), [fixed.id])
  assert.deepEqual(await kinds(['static', 'boolean']), [fixed.id, bool.id])
  assert.deepEqual(await kinds(['metered']), [])
  const bad = customers.entitlements.create('js-ent-kinds', { type: 'static', featureKey: 'js_calls', config: '{' })
  await refused(bad, 400, 'Bad Request', 'validation error: invalid JSON config')
  const grant = customers.entitlements.createGrant('js-ent-kinds', 'js_sso', { amount: 1, effectiveAt: new Date() })
  await refused(grant, 400, 'Bad Request', 'validation error: expected entitlement type metered but got boolean')
})

test('grants are given, listed and voided, and usage is reset', async () => {
  const made = await customers.entitlements.create('js-ent', { ...monthly, measureUsageFrom: 'CURRENT_PERIOD_START' })
  const grant = await customers.entitlements.createGrant('js-ent', 'js_calls', {
    amount: 12.5, effectiveAt: thisMonth(), annotations: { reason: { n: 1 } }, recurrence: { interval: 'WEEK' },
  })
  assert.deepEqual([grant.amount, grant.priority, grant.minRolloverAmount, grant.maxRolloverAmount], [12.5, 0, 0, 12.5])
  assert.deepEqual([grant.effectiveAt, grant.expiration, grant.expiresAt], [thisMonth(), undefined, undefined])
  assert.deepEqual([grant.annotations, grant.entitlementId], [{ reason: { n: 1 } }, made.id])
  assert.ok(grant.nextRecurrence > new Date(Date.now() - 60_000))
  const listed = await customers.entitlements.listGrants('js-ent', 'js_calls')
  assert.deepEqual([listed.items, listed.totalCount], [[grant], 1])
  const all = await entitlements.grants.list({ query: { customer: ['js-ent'] } })
  assert.deepEqual([all.items, all.page, all.pageSize, all.totalCount], [[grant], 0, 0, 1])

  const early = customers.entitlements.createGrant('js-ent', 'js_calls', { amount: 1, effectiveAt: new Date('2025-01-01T00:00:00Z') })
  await refused(early, 400, 'Bad Request', /^validation error: grant effective date .* is before the current usage period/)
  const nothing = customers.entitlements.createGrant('js-ent', 'js_calls', { amount: 0, effectiveAt: new Date() })
  await refused(nothing, 400, 'Bad Request', 'validation error: amount must be positive')

  assert.equal(await entitlements.grants.void(grant.id), undefined)
  assert.ok((await customers.entitlements.listGrants('js-ent', made.id)).items[0].voidedAt instanceof Date)
  await refused(entitlements.grants.void(grant.id), 400, 'Bad Request', 'validation error: grant already voided')
  await refused(entitlements.grants.void('js-none'), 404, 'Not Found', 'grant not found: js-none')

  assert.equal(await customers.entitlements.resetUsage('js-ent', 'js_calls', { retainAnchor: true }), undefined)
  const { lastReset, currentUsagePeriod } = await customers.entitlements.get('js-ent', 'js_calls')
  assert.ok(lastReset >= minute(made.createdAt))
  assert.deepEqual(currentUsagePeriod, { from: lastReset, to: made.currentUsagePeriod.to })
  const again = customers.entitlements.resetUsage('js-ent', 'js_calls', { effectiveAt: lastReset })
  await refused(again, 400, 'Bad Request', /^validation error: reset at .* must be after last reset at /)
})

test('entitlements by subject', async () => {
  const v1 = entitlementsV1
  const made = await v1.create('s-js-ent-v1', { ...monthly, issueAfterReset: 5, measureUsageFrom: 'CURRENT_PERIOD_START' })
  assert.deepEqual([made.subjectKey, made.isUnlimited, made.issueAfterReset, made.issueAfterResetPriority], ['s-js-ent-v1', false, 5, undefined])
  assert.deepEqual(await v1.get(made.id), made)
  assert.deepEqual(await v1.list({ subject: ['s-js-ent-v1'] }), [made])
  const page = await v1.list({ subject: ['s-js-ent-v1'], pageSize: 1 })
  assert.deepEqual([page.items, page.totalCount, page.page, page.pageSize], [[made], 1, 1, 1])

  const expiration = { duration: 'DAY', count: 400 }
  const grant = await v1.grants.create('s-js-ent-v1', 'js_calls', { amount: 1, effectiveAt: thisMonth(), expiration, priority: 9 })
  assert.deepEqual([grant.expiration, grant.maxRolloverAmount, grant.priority], [expiration, 0, 9])
  assert.equal(grant.expiresAt - grant.effectiveAt, 400 * 86_400_000)
  const [issued, given] = await v1.grants.list('s-js-ent-v1', made.id, {})
  assert.deepEqual(given, grant)
  assert.deepEqual([issued.annotations, issued.expiration], [{ issueAfterReset: true }, { duration: 'YEAR', count: 100 }])
  assert.deepEqual(await v1.grants.listAll({ subject: ['s-js-ent-v1'], orderBy: 'createdAt' }), [issued, given])
  assert.equal(await v1.grants.void(grant.id), undefined)

  assert.equal(await v1.reset('s-js-ent-v1', made.id, {}), undefined)
  assert.ok((await v1.get(made.id)).lastReset >= minute(made.createdAt))
  const replaced = await v1.override('s-js-ent-v1', 'js_calls', { type: 'boolean', featureKey: 'js_calls' })
  assert.deepEqual([replaced.type, (await v1.get(made.id)).activeTo], ['boolean', replaced.activeFrom])
  assert.equal(await v1.delete('s-js-ent-v1', replaced.id), undefined)
  await refused(v1.get(replaced.id), 404, 'Not Found', missing(replaced.id))
  const unknown = v1.create('js-nobody', { type: 'boolean', featureKey: 'js_sso' })
  await refused(unknown, 404, 'Not Found', 'not found error: subject not found [namespace=default subject.idOrKey=js-nobody]')
})

test('values, access and history follow every event', async () => {
  const key = 'js-ent-value'
  const of = customers.entitlements
  const made = await of.create(key, { ...monthly, measureUsageFrom: 'CURRENT_PERIOD_START', issue: { amount: 10 } })
  const grant = (await of.listGrants(key, 'js_calls')).items[0]
  const use = (id, n) => ({ id, source: 'js', specversion: '1.0', type: 'js.call', subject: `s-${key}`, time: thisMonth(), data: { n } })
  await events.ingest(use('js-value-1', 2.5))
  const v1 = { hasAccess: true, balance: 7.5, usage: 2.5, overage: 0, totalAvailableGrantAmount: 10 }
  const v2 = { ...v1, grantBalances: { [grant.id]: 7.5 } }
  for (const name of ['js_calls', made.id]) assert.deepEqual(await of.value(key, name), v2)
  assert.deepEqual(await customers.entitlementsV1.value(key, 'js_calls'), v1)
  assert.deepEqual(await entitlementsV1.value(`s-${key}`, 'js_calls'), v1)
  assert.deepEqual(await customers.getAccess(key), { entitlements: { js_calls: v2 } })
  assert.deepEqual(await of.value(key, 'js_sso'), { hasAccess: false })
  assert.deepEqual(await customers.entitlementsV1.value(key, 'js_sso'), { hasAccess: false })
  await refused(entitlementsV1.value(`s-${key}`, 'js_sso'), 404, 'Not Found', missing('js_sso'))
  const before = { query: { time: new Date('2025-01-01T00:00:00Z') } }
  assert.deepEqual(await of.value(key, made.id, before), { hasAccess: false })

  await events.ingest(use('js-value-2', 8))
  const over = await of.value(key, 'js_calls')
  assert.deepEqual([over.hasAccess, over.balance, over.usage, over.overage], [false, 0, 10.5, 0.5])

  const told = await of.history(key, 'js_calls', 'DAY')
  assert.deepEqual(await entitlementsV1.history('any', made.id, { windowSize: 'DAY' }), told)
  const [first] = told.windowedHistory
  assert.deepEqual([first.period.from, first.usage, first.balanceAtStart], [thisMonth(), 10.5, 10])
  const [phase] = told.burndownHistory
  assert.deepEqual([phase.usage, phase.overage, phase.balanceAtStart, phase.balanceAtEnd], [10.5, 0.5, 10, 0])
  assert.deepEqual([phase.grantBalancesAtStart, phase.grantUsages], [{ [grant.id]: 10 }, [{ grantId: grant.id, usage: 10 }]])
  const early = of.history(key, 'js_calls', 'DAY', { query: { from: new Date('2025-01-01T00:00:00Z') } })
  await refused(early, 400, 'Bad Request', /^validation error: from 2025-01-01T00:00:00Z cannot be before /)
})

// The client under test, with a note of every method called, and what every file asks of an error.

import assert from 'node:assert/strict'
import { isHTTPError, OpenMeter } from '@openmeter/sdk'

const baseUrl = process.env.WEIR_URL
if (!baseUrl) throw new Error('WEIR_URL says where weir listens')

/** Names of the methods called, such as `meters.query`. */
export const called = new Set()

/** The methods of a client: `[name, function bound to its object]`, nested objects included. */
export function* methodsOf(object, path = '') {
  for (const name of Object.getOwnPropertyNames(Object.getPrototypeOf(object))) {
    if (path && name !== 'constructor') yield [`${path}.${name}`, object[name].bind(object)]
  }
  for (const [name, part] of Object.entries(object)) {
    // What is left is what the client talks through, and its own configuration.
    if (name === 'client' || name === 'config') continue
    yield* methodsOf(part, path ? `${path}.${name}` : name)
  }
}

function noted(object, path) {
  return new Proxy(object, {
    get(target, name) {
      const value = target[name]
      if (typeof value !== 'function') return typeof value === 'object' ? noted(value, `${path}.${name}`) : value
      return (...given) => {
        called.add(`${path}.${name}`)
        return value.apply(target, given)
      }
    },
  })
}

/** The client as its users make it. */
export const plain = new OpenMeter({ baseUrl, apiKey: 'weir-ignores-it' })

export const { events, meters, subjects, customers, features, entitlements, entitlementsV1, debug, info } = Object.fromEntries(
  ['events', 'meters', 'subjects', 'customers', 'features', 'entitlements', 'entitlementsV1', 'debug', 'info'].map((name) => [
    name,
    noted(plain[name], name),
  ]),
)

/** The body as it came, for what a JavaScript number cannot hold. */
export const asText = { parseAs: 'text' }

export async function json(path) {
  const answer = await fetch(new URL(path, baseUrl))
  assert.equal(answer.status, 200, path)
  return answer.json()
}

/** The call is refused with this problem; `detail` may be a text or a pattern. */
export async function refused(call, status, title, detail) {
  const error = await call.then(
    (answer) => assert.fail(`answered ${JSON.stringify(answer)}`),
    (thrown) => thrown,
  )
  assert.ok(isHTTPError(error), error)
  assert.deepEqual([error.status, error.title, error.type], [status, title, 'about:blank'])
  assert.equal(error.getField('status'), status)
  if (detail instanceof RegExp) assert.match(error.getField('detail'), detail)
  else assert.equal(error.getField('detail'), detail)
}

/** A whole second, so many minutes ago. */
export function minutesAgo(minutes) {
  return new Date(Math.floor(Date.now() / 1000) * 1000 - minutes * 60_000)
}

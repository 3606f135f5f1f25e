// Which of the client's methods were called, out of those that ask for an operation weir has. A method's operation is
// what a client that never leaves the process asks for when the method is called.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OpenMeter } from '@openmeter/sdk'
import { called, json, methodsOf } from './harness.js'

/** Method → `GET /api/v1/meters`. */
async function operationsOfClient() {
  let asked
  const client = new OpenMeter({ baseUrl: 'http://nowhere.invalid' })
  client.client.use({
    onRequest({ request, schemaPath }) {
      asked = `${request.method} ${schemaPath}`
      return new Response(null, { status: 204 })
    },
  })
  const operations = new Map()
  for (const [name, method] of methodsOf(client)) {
    asked = undefined
    await method('any', 'any', 'any', 'any')
    assert.ok(asked, `${name} asks for nothing`)
    operations.set(name, asked)
  }
  return operations
}

async function operationsOfWeir() {
  const { paths } = await json('/api/swagger.json')
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  )
  return new Set(operations)
}

test('every method called asks for an operation that weir has', async () => {
  const [methods, built] = [await operationsOfClient(), await operationsOfWeir()]
  const callable = [...methods].filter(([, operation]) => built.has(operation))
  const uncalled = callable.filter(([name]) => !called.has(name))
  console.log(`javascript: sdk methods called: ${callable.length - uncalled.length} of ${callable.length}`)
  for (const [name, operation] of uncalled) console.log(`javascript: sdk method not called: ${name} (${operation})`)
  const missing = [...called].filter((name) => !built.has(methods.get(name)))
  assert.deepEqual(missing, [], 'called, but weir lacks the operation')
  assert.ok(callable.length > 0, 'weir has no operation that the client knows')
})

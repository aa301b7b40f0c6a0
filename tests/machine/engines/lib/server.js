'use strict'
// The query engine's HTTP interface, as prisma-client-py uses it.

const http = require('node:http')

const METRICS = { counters: [], gauges: [], histograms: [] }

function serve(engine, port) {
  const server = http.createServer((request, response) => {
    answer(engine, request)
      .catch((error) => [500, { errors: [{ error: String(error), user_facing_error: {} }] }])
      .then(([status, body]) => {
        response.writeHead(status, { 'content-type': 'application/json' })
        response.end(JSON.stringify(body))
      })
  })
  return server.listen(port, '127.0.0.1')
}

async function answer(engine, request) {
  const { pathname } = new URL(request.url, 'http://localhost')
  const route = `${request.method} ${pathname}`
  const body = await readBody(request)
  const transactionId = request.headers['x-transaction-id']
  const [, id, end] = pathname.match(/^\/transaction\/([^/]+)\/(commit|rollback)$/) ?? []

  if (route === 'GET /status') return [200, { status: 'ok' }]
  if (route === 'GET /metrics') return [200, METRICS]
  if (route === 'POST /transaction/start') return [200, await engine.startTransaction(body)]
  if (end === 'commit') return [200, await engine.commitTransaction(id)]
  if (end === 'rollback') return [200, await engine.rollbackTransaction(id)]
  if (route !== 'POST /') return [404, { errors: [] }]
  return [200, await (body.batch ? engine.batch(body, transactionId) : engine.query(body, transactionId))]
}

async function readBody(request) {
  const chunks = []
  for await (const chunk of request) chunks.push(chunk)
  return chunks.length ? JSON.parse(Buffer.concat(chunks).toString()) : {}
}

module.exports = { serve }

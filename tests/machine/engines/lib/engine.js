'use strict'
// Prisma's own query engine, compiled to WebAssembly, on connections of the pg driver.

const { PrismaPg } = require('@prisma/adapter-pg')
const { bindAdapter } = require('@prisma/driver-adapter-utils')
const { fromDriver } = require('./errors')
const { parseModels } = require('./datamodel')
const { toJsonQuery } = require('./graphql_to_json')
const { instantiate } = require('./wasm')

const BINDINGS = '@prisma/client/runtime/query_engine_bg.postgresql'
const EXTERNAL_ERROR = 'P2036'

class Engine {
  static async start(schema, pool, target) {
    const bindings = require(`${BINDINGS}.js`)
    await instantiate(require.resolve(`${BINDINGS}.wasm`), './query_engine_bg.js', bindings)

    const engine = new Engine()
    engine.models = parseModels(schema)
    engine.target = target
    engine.adapter = bindAdapter(new PrismaPg(pool, { schema: target.schema }))
    const options = { datamodel: schema, logLevel: 'error', logQueries: false }
    engine.wasm = new bindings.QueryEngine(options, () => {}, engine.adapter)
    await engine.wasm.connect('{}')
    return engine
  }

  // One query as prisma-client-py sends it; `{data: {result}}` or `{errors}`.
  async query({ query }, transactionId) {
    const request = toJsonQuery(query, this.models)
    const answer = JSON.parse(await this.wasm.query(JSON.stringify(request), '{}', transactionId))
    return this.#graphqlAnswer(answer)
  }

  // Several queries, all or none of them when `transaction` is true.
  async batch({ batch, transaction }, transactionId) {
    const request = {
      batch: batch.map(({ query }) => toJsonQuery(query, this.models)),
      transaction: transaction ? { isolationLevel: null } : null,
    }
    const answer = JSON.parse(await this.wasm.query(JSON.stringify(request), '{}', transactionId))
    if (answer.errors) return this.#graphqlAnswer(answer)
    return { batchResult: answer.batchResult.map((one) => this.#graphqlAnswer(one)) }
  }

  async startTransaction(options) {
    return this.#transactionAnswer(await this.wasm.startTransaction(JSON.stringify(options), '{}'))
  }

  async commitTransaction(id) {
    return this.#transactionAnswer(await this.wasm.commitTransaction(id, '{}'))
  }

  async rollbackTransaction(id) {
    return this.#transactionAnswer(await this.wasm.rollbackTransaction(id, '{}'))
  }

  #graphqlAnswer({ data, errors }) {
    if (errors) return { errors: errors.map((error) => this.#nativeError(error)) }
    const [[operation, result]] = Object.entries(data)
    return { data: { result: operation === 'queryRaw' ? rawRows(result) : withoutTags(result) } }
  }

  #transactionAnswer(text) {
    const answer = JSON.parse(text)
    return answer.error_code ? { errors: [{ error: answer.message, user_facing_error: answer }] } : answer
  }

  // What the driver threw is known to the adapter under a number: name it as a native engine does.
  #nativeError(error) {
    const facing = error.user_facing_error
    if (facing?.error_code !== EXTERNAL_ERROR) return error
    const thrown = this.adapter.errorRegistry.consumeError(facing.meta.id).error
    const named = fromDriver(thrown, this.target)
    return { error: named.message, user_facing_error: named.toJSON() }
  }
}

// `{$type, value}` is how the JSON protocol writes what JSON has no type for.
function withoutTags(value) {
  if (Array.isArray(value)) return value.map(withoutTags)
  if (value === null || typeof value !== 'object') return value
  if ('$type' in value) return withoutTags(value.value)
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, withoutTags(item)]))
}

// The rows of a raw query, each value beside its type, as the engine's 5.4 release writes them.
function rawRows({ columns, types, rows }) {
  return rows.map((row) =>
    Object.fromEntries(row.map((value, index) => [columns[index], rawValue(types[index], value)])),
  )
}

function rawValue(type, value) {
  if (value === null) return { prisma__type: 'null', prisma__value: null }
  if (!type.endsWith('-array')) return { prisma__type: type, prisma__value: value }
  const itemType = type.slice(0, -'-array'.length)
  return { prisma__type: 'array', prisma__value: value.map((item) => rawValue(itemType, item)) }
}

module.exports = { Engine }

'use strict'

// The models of a Prisma schema: name → field → its type's name, as in `Json` or `LiteLLM_UserTable`.
function parseModels(schema) {
  const models = new Map()
  for (const [, name, body] of schema.matchAll(/^model\s+(\w+)\s*\{([^]*?)^\}/gm)) {
    const fields = body.matchAll(/^\s*(\w+)\s+(\w+)/gm)
    models.set(name, new Map(Array.from(fields, ([, field, type]) => [field, type])))
  }
  return models
}

module.exports = { parseModels }

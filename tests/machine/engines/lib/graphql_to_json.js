'use strict'
// A GraphQL query in the engine's JSON protocol, the only one its WebAssembly build speaks:
// {modelName, action, query: {arguments, selection}}

const { Kind, parse, valueFromASTUntyped } = require('graphql')

const ACTIONS = [
  'findUnique', 'findFirst', 'findMany', 'createOne', 'createMany', 'updateOne', 'updateMany',
  'deleteOne', 'deleteMany', 'upsertOne', 'aggregate', 'groupBy',
]
const RAW_ACTIONS = ['queryRaw', 'executeRaw']

function toJsonQuery(text, models) {
  const root = parse(text).definitions[0].selectionSet.selections[0]
  const { action, modelName } = splitRootField(root.name.value)
  return { modelName, action, query: nodeQuery(root, models, modelName) }
}

// `findUniqueUserOrThrow` → action `findUniqueOrThrow` on the model `User`.
function splitRootField(name) {
  if (RAW_ACTIONS.includes(name)) return { action: name }
  const action = ACTIONS.find((prefix) => name.startsWith(prefix))
  if (!action) throw new Error(`unknown operation ${name}`)
  const [, modelName, orThrow = ''] = name.slice(action.length).match(/^(.*?)(OrThrow)?$/)
  return { action: action + orThrow, modelName }
}

function nodeQuery(node, models, modelName) {
  const fields = models.get(modelName)
  const args = (node.arguments ?? []).map(({ name, value }) => [
    name.value,
    withJsonTags(valueFromASTUntyped(value), models, modelName),
  ])
  const selection = (node.selectionSet?.selections ?? []).map((child) => [
    child.name.value,
    isLeaf(child) ? true : nodeQuery(child, models, fields?.get(child.name.value)),
  ])
  return { arguments: Object.fromEntries(args), selection: Object.fromEntries(selection) }
}

function isLeaf(node) {
  return node.kind === Kind.FIELD && !node.selectionSet
}

// GraphQL writes the value of a Json field as text; in the JSON protocol text is a JSON string,
// so it has to say that it is JSON. `modelName` is the model that the keys of `value` belong to.
function withJsonTags(value, models, modelName) {
  if (Array.isArray(value)) return value.map((item) => withJsonTags(item, models, modelName))
  if (value === null || typeof value !== 'object') return value
  const fields = models.get(modelName)
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => {
      const type = fields?.get(name)
      if (type === 'Json') return [name, taggedJson(item)]
      return [name, withJsonTags(item, models, models.has(type) ? type : modelName)]
    }),
  )
}

// The value itself, or an operation on it such as {set: ...}, {equals: ...}, {path: [...]}.
function taggedJson(value) {
  if (typeof value === 'string') return { $type: 'Json', value }
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [name, name === 'path' ? item : taggedJson(item)]),
  )
}

module.exports = { toJsonQuery }

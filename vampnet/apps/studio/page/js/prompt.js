// The prompt's text and its controls, each made from the other. The text is the truth: controls show a text of the form
// (a | b | ...) & codebooks(n) & drop(x), and leave any other text as it is.

/** Parts that have controls. `range`: lowest, highest, step of a value; unit: shown after it. */
export const CONTROLS = {
  periodic: {period: {range: [1, 64, 1], start: 7}, width: {range: [1, 16, 1], start: 1, default: 1}},
  beats: {
    after: {range: [0, 500, 5], start: 75, default: 75, unit: 'ms'},
    which: {choices: ['all', 'downbeats', 'upbeats'], start: 'all', default: 'all'},
    every: {range: [1, 16, 1], start: 1, default: 1},
  },
  onsets: {after: {range: [0, 500, 5], start: 50, default: 50, unit: 'ms'}},
  prefix: {length: {range: [0, 30, 0.1], start: 2, unit: 's'}},
  suffix: {length: {range: [0, 30, 0.1], start: 2, unit: 's'}},
  random: {rate: {range: [0, 1, 0.01], start: 0.1}},
  codebooks: {n: {range: [1, 14, 1], start: 4}},
  drop: {share: {range: [0, 1, 0.01], start: 0.3}},
}
export const UNITED = ['periodic', 'beats', 'onsets', 'prefix', 'suffix', 'random']
export const NARROWING = ['codebooks', 'drop']

const number = (value) => String(+(+value).toPrecision(9))

function valueText(name, value) {
  const {unit} = name
  return unit === 'ms' ? `${number(value)}ms` : typeof value === 'number' ? number(value) : value
}

function partText(name, values) {
  const fields = Object.entries(CONTROLS[name])
  const words = []
  for (const [field, spec] of fields) {
    const value = values[field] ?? spec.start
    if (spec.default === undefined) words.push(valueText(spec, value))
    else if (value !== spec.default) words.push(`${field}=${valueText(spec, value)}`)
  }
  return words.length ? `${name}(${words.join(', ')})` : name
}

/** Text of controls: {periodic: {period: 7, width: 1}, codebooks: {n: 3}}. */
export function textOf(controls) {
  const united = UNITED.filter((name) => controls[name]).map((name) => partText(name, controls[name]))
  const narrowing = NARROWING.filter((name) => controls[name]).map((name) => partText(name, controls[name]))
  if (!united.length && !narrowing.length) return 'nothing'
  let first = united.length > 1 && narrowing.length ? `(${united.join(' | ')})` : united.join(' | ')
  if (!first && narrowing[0]?.startsWith('drop')) first = 'everything'
  return [first, ...narrowing].filter(Boolean).join(' & ')
}

/** Controls that a text sets, or null where it says more than they can; presets by name -> text. */
export function controlsOf(text, presets = {}) {
  let tree
  try {
    tree = new Parser(text, presets).parse()
  } catch {
    return null
  }
  const factors = tree.kind === '&' ? tree.parts : [tree]
  const controls = {}
  let nBases = 0
  for (const factor of factors) {
    if (factor.kind === 'part' && NARROWING.includes(factor.name)) {
      if (controls[factor.name] || !put(controls, factor)) return null
      continue
    }
    nBases += 1
    const parts = factor.kind === '|' ? factor.parts : [factor]
    for (const part of parts) {
      if (part.kind !== 'part' || controls[part.name]) return null
      if (part.name === 'nothing' && parts.length === 1) continue
      if (part.name === 'everything' && factors.length > 1 && parts.length === 1) continue
      if (!UNITED.includes(part.name) || !put(controls, part)) return null
    }
  }
  return nBases <= 1 ? controls : null
}

function put(controls, part) {
  const fields = Object.entries(CONTROLS[part.name])
  const order = {periodic: ['period', 'width', 'offset'], beats: ['before', 'after', 'every', 'which'],
    onsets: ['before', 'after']}[part.name] ?? fields.map(([field]) => field)
  const values = {}
  for (const [place, value] of part.positional.entries()) values[order[place]] = value
  Object.assign(values, part.named)
  const made = {}
  for (const [field, spec] of fields) {
    if (values[field] === undefined) made[field] = spec.default ?? spec.start
    else if (spec.choices) made[field] = values[field]
    else {
      const found = /^([+-]?[\d.]+(?:e[+-]?\d+)?)(s|ms)?$/i.exec(values[field])
      if (!found || (found[2] && !spec.unit)) return false
      const scale = spec.unit === 'ms' ? (found[2] === 'ms' ? 1 : 1000) : found[2] === 'ms' ? 0.001 : 1
      made[field] = +(+found[1] * scale).toPrecision(9)
    }
    if (spec.choices && !spec.choices.includes(made[field])) return false
  }
  const known = new Set(fields.map(([field]) => field))
  if (Object.entries(values).some(([field, value]) => !known.has(field) && +value !== 0)) return false
  controls[part.name] = made
  return true
}

class Parser {
  constructor(text, presets) {
    this.presets = presets
    this.tokens = text.match(/\s*(?:[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?[a-z]*|[a-z][a-z0-9_-]*|[()|&,=]|\S)/gi)
      ?.map((token) => token.trim().toLowerCase()) ?? []
    this.place = 0
  }

  parse() {
    const tree = this.joined('|', () => this.joined('&', () => this.factor()))
    if (this.place < this.tokens.length) throw new Error('more')
    return tree
  }

  joined(sign, next) {
    const parts = [next()]
    while (this.take(sign)) parts.push(next())
    if (parts.length === 1) return parts[0]
    return {kind: sign, parts: parts.flatMap((part) => (part.kind === sign ? part.parts : [part]))}
  }

  take(sign) {
    if (this.tokens[this.place] !== sign) return false
    this.place += 1
    return true
  }

  factor() {
    if (this.take('(')) {
      const inner = this.joined('|', () => this.joined('&', () => this.factor()))
      if (!this.take(')')) throw new Error('bracket')
      return inner
    }
    const name = this.tokens[this.place++]
    if (!/^[a-z]/.test(name ?? '')) throw new Error('name')
    if (this.presets[name]) return new Parser(this.presets[name], {}).parse()
    const part = {kind: 'part', name, positional: [], named: {}}
    if (!this.take('(')) return part
    while (!this.take(')')) {
      if (part.positional.length || Object.keys(part.named).length) {
        if (!this.take(',')) throw new Error('comma')
      }
      const word = this.tokens[this.place++]
      if (word === undefined) throw new Error('end')
      if (this.take('=')) part.named[word] = this.tokens[this.place++]
      else part.positional.push(word)
    }
    return part
  }
}

/** A prompt that also keeps the given texts, such as keep(1, 2). */
export function withKept(text, kept) {
  const plain = text.trim()
  if (!kept.length) return plain
  if (!plain || plain === 'nothing') return kept.join(' | ')
  return [/&/.test(plain) ? `(${plain})` : plain, ...kept].join(' | ')
}

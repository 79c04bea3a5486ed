// Calls to the server: JSON in and out, errors as sentences, events as they come.
import {T} from './texts.js'

export class ApiError extends Error {
  constructor(sentence, status) {
    super(sentence)
    this.status = status
  }
}

let key = sessionStorage.getItem('vampnet-key') ?? ''
export const hasKey = () => key !== ''
export function setKey(text) {
  key = text
  sessionStorage.setItem('vampnet-key', text)
}

const headersOf = (more = {}) => (key ? {...more, Authorization: `Bearer ${key}`} : more)

/** The answer to a call, for those who read more than JSON from it. Throws ApiError with a sentence. */
export async function ask(method, path, {body, headers, signal} = {}) {
  let answer
  const isForm = body instanceof FormData
  const given = body === undefined || isForm ? headers : {'Content-Type': 'application/json', ...headers}
  try {
    answer = await fetch(path, {
      method, signal, headers: headersOf(given),
      body: body === undefined || isForm ? body : JSON.stringify(body),
    })
  } catch (error) {
    if (error.name === 'AbortError') throw error
    throw new ApiError(T.serverAway, 0)
  }
  if (!answer.ok) throw new ApiError(await sentenceOf(answer), answer.status)
  return answer
}

async function sentenceOf(answer) {
  try {
    const said = (await answer.json()).error
    return said ? said[0].toUpperCase() + said.slice(1) : T.status(answer.status)
  } catch {
    return T.status(answer.status)
  }
}

export async function json(method, path, body, more = {}) {
  const answer = await ask(method, path, {body, ...more})
  return answer.status === 204 ? null : answer.json()
}
export const get = (path, more) => json('GET', path, undefined, more)
export const post = (path, body, more) => json('POST', path, body, more)

/** Send a file, telling how much of it has gone (0 to 1). */
export function upload(path, field, file, name, tell) {
  return new Promise((resolve, reject) => {
    const form = new FormData()
    form.append(field, file, name)
    const call = new XMLHttpRequest()
    call.open('POST', path)
    if (key) call.setRequestHeader('Authorization', `Bearer ${key}`)
    call.upload.onprogress = (event) => event.lengthComputable && tell?.(event.loaded / event.total)
    call.onerror = () => reject(new ApiError(T.serverAway, 0))
    call.onload = () => {
      let data = null
      try { data = JSON.parse(call.responseText) } catch { /* no JSON: the status says what is wrong */ }
      if (call.status < 300 && data) resolve(data)
      else reject(new ApiError(data?.error ?? T.status(call.status), call.status))
    }
    call.send(form)
  })
}

/** Follow events of all jobs until the page is left; `tell` gets jobs, `online` whether the server answers. */
export async function follow(tell, online) {
  let last = '', wait = 500
  for (;;) {
    try {
      const answer = await ask('GET', '/api/v1/events', {headers: last ? {'Last-Event-ID': last} : {}})
      online(true)
      wait = 500
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
      let text = ''
      for (;;) {
        const {value, done} = await reader.read()
        if (done) break
        text += value
        const parts = text.split('\n\n')
        text = parts.pop()
        for (const part of parts) {
          const id = /^id: (.*)$/m.exec(part)
          const data = /^data: (.*)$/m.exec(part)
          if (id) last = id[1]
          if (data) tell(JSON.parse(data[1]))
        }
      }
    } catch (error) {
      if (error.status === 401 || error.status === 403) return
    }
    online(false)
    await new Promise((resolve) => setTimeout(resolve, wait))
    wait = Math.min(wait * 1.6, 5000)
  }
}

/** Save an answer's bytes as a file of the user's. */
export async function download(path, name) {
  const blob = await (await ask('GET', path)).blob()
  saveBlob(blob, name)
}

export function saveBlob(blob, name) {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(blob)
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 60000)
}

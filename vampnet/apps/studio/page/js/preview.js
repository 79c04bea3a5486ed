// Preview: which tokens a request would keep, asked of the server whenever a setting changes.
import {ask} from './api.js'
import {refOf} from './project.js'
import {obstacle, requestOf} from './request.js'
import {soundOf} from './sounds.js'
import {set, state} from './store.js'

const SHOWN = new Set(['vary', 'loop', 'fill', 'extend', 'continue'])
const WHOLE_S = 240
let wanted = '', calling = null, timer = 0

/** Ask anew where the request has changed. Called after every change of the page. */
export function preview() {
  const ref = state.project ? refOf(state.base) : null
  if (!ref || !SHOWN.has(state.edit.task) || obstacle(state.edit, true)) {
    if (wanted) {
      wanted = ''
      calling?.abort()
      set({mask: state.edit.task === 'fill' && state.mask ? {...state.mask, mask: '', bits: () => 1} : null, maskError: ''})
    }
    return
  }
  const seconds = soundOf(ref).seconds
  if (!seconds) return
  const body = {file: ref, request: requestOf(state.edit, ref, state.edit.seed, seconds)}
  if (seconds > WHOLE_S) { // of a long sound, what is in view and a little more
    const {start, end} = state.view, width = Math.max(10, end - start)
    const grid = width / 2
    body.from_s = Math.max(0, (Math.floor(start / grid) - 1) * grid)
    body.to_s = (Math.ceil(end / grid) + 1) * grid
  }
  const text = JSON.stringify(body)
  if (text === wanted) return
  wanted = text
  clearTimeout(timer)
  timer = setTimeout(() => look(body, text), 25)
}

async function look(body, text) {
  calling?.abort()
  calling = new AbortController()
  const {signal} = calling
  const began = performance.now()
  try {
    for (let tries = 0; tries < 1000 && text === wanted; tries++) {
      const answer = await ask('POST', '/api/v1/preview', {body, signal})
      if (answer.status === 200) {
        const mask = await answer.json()
        if (text === wanted) set({mask, maskError: '', maskMs: performance.now() - began})
        return
      }
      await new Promise((resolve) => setTimeout(resolve, Math.min(2000, 250 + 50 * tries)))
    }
  } catch (error) {
    if (error.name === 'AbortError' || text !== wanted) return
    if (error.status === 0) wanted = ''
    const isSetting = error.status < 500 && error.status !== 404 // else there is no picture, but takes can be made
    set({maskError: isSetting ? error.message : '', mask: error.status === 422 ? state.mask : null})
  }
}

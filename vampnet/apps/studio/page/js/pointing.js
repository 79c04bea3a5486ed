// What the pointer does on the stage: drag a region, paint tokens, move the grid; wheel and two fingers zoom.
import {withStroke} from './request.js'
import {addRegion} from './regions.js'
import {seek} from './sound.js'
import {show, zoom} from './stage.js'
import {edit, set, state} from './store.js'
import {addBeat, beatNear, moveBeat, setGrid, toggleBar} from './beats.js'

let down = null // the drag that goes on
const fingers = new Map()
let pinch = null

export const isPinching = () => pinch !== null

export const timeAt = (box, x) => {
  const {left, width} = box.getBoundingClientRect()
  return state.view.start + ((x - left) / width) * (state.view.end - state.view.start)
}

/** Handlers for the stage's box. */
export function pointer(box) {
  return {
    onPointerDown(event) {
      if (event.button) return
      fingers.set(event.pointerId, event.clientX)
      if (fingers.size === 2) return beginPinch(box.current)
      if (event.target.closest('[role=slider],button')) return
      if (event.pointerType !== 'mouse' && !onGround(event, box.current)) return
      event.preventDefault()
      box.current.setPointerCapture(event.pointerId)
      down = {x: event.clientX, time: timeAt(box.current, event.clientX), id: event.pointerId, moved: false, began: performance.now()}
      if (state.tool === 'paint' && state.mask) down.cell = cellAt(box.current, event)
      if (state.tool === 'beats' && !isGrid()) {
        down.beat = beatAt(box.current, event)
        if (down.beat >= 0) set({beat: down.beat, side: 'A'})
      }
    },
    onPointerMove(event) {
      if (fingers.has(event.pointerId)) fingers.set(event.pointerId, event.clientX)
      if (pinch) return movePinch(box.current)
      if (!down || down.id !== event.pointerId) return
      if (Math.abs(event.clientX - down.x) > 4) down.moved = true
      if (down.cell) return set({stroke: strokeTo(cellAt(box.current, event))})
      if (!down.moved) return
      const time = timeAt(box.current, event.clientX)
      if (state.tool === 'beats' && !isGrid()) {
        if (down.beat >= 0) moveBeat(down.beat, time, `beat ${down.beat} ${down.began}`)
      } else if (state.tool === 'beats') {
        down.first ??= state.edit.grid?.downbeat_s ?? 0
        setGrid({downbeat_s: wrap(down.first + time - down.time)})
      } else set({draft: {start: Math.min(down.time, time), end: Math.max(down.time, time)}})
    },
    onPointerUp(event) {
      fingers.delete(event.pointerId)
      if (pinch) {
        if (!fingers.size) pinch = null
        return
      }
      if (!down || down.id !== event.pointerId) return
      if (down.cell) {
        const stroke = strokeTo(cellAt(box.current, event))
        set({stroke: null})
        edit({paint: withStroke(state.edit.paint, stroke)})
      } else if (!down.moved) {
        if (!(down.beat >= 0)) seek(down.time)
      } else if (state.draft) {
        const {draft} = state
        set({draft: null})
        addRegion(draft.start, draft.end)
      }
      down = null
    },
    onPointerCancel(event) {
      fingers.delete(event.pointerId)
      down = pinch = null
      set({draft: null, stroke: null})
    },
    onDblClick(event) {
      if (state.tool !== 'beats' || isGrid() || event.target.closest('button')) return
      const at = beatAt(box.current, event)
      if (at < 0) addBeat(timeAt(box.current, event.clientX))
      else {
        toggleBar(at)
        set({beat: at})
      }
    },
    onWheel(event) {
      if (event.ctrlKey || event.metaKey) {
        event.preventDefault()
        zoom(Math.exp(-event.deltaY / 240), timeAt(box.current, event.clientX))
      } else if (event.deltaX || event.shiftKey) {
        event.preventDefault()
        const {start, end} = state.view
        show(start + ((event.deltaX || event.deltaY) / box.current.clientWidth) * (end - start))
      }
    },
  }
}

/** Whether beats are those of the even grid, which moves as a whole. */
const isGrid = () => Boolean(state.edit.grid && !state.edit.beats)

function beatAt(box, event) {
  const {width} = box.getBoundingClientRect(), reach = event.pointerType === 'touch' ? 14 : 7
  return beatNear(timeAt(box, event.clientX), (reach / width) * (state.view.end - state.view.start))
}

/** Whether a touch lies where drags make regions; the ruler above leaves the page its scrolling. */
const onGround = (event) => !event.target.closest('.ruler')

function wrap(time) {
  const {grid} = state.edit
  if (!grid) return Math.max(0, time)
  const bar = (60 / grid.bpm) * grid.beats_per_bar
  return ((time % bar) + bar) % bar
}

function cellAt(box, event) {
  const {n_frames: frames, n_codebooks: books, frames_per_s: rate} = state.mask
  const area = box.querySelector('.mel').getBoundingClientRect()
  const frame = Math.floor(timeAt(box, event.clientX) * rate)
  const book = books - Math.floor(((event.clientY - area.top) / area.height) * books)
  return {frame: Math.max(0, Math.min(frames - 1, frame)), book: Math.max(1, Math.min(books, book))}
}

function strokeTo(cell) {
  const {cell: first} = down
  return {kind: state.brush.kind, from: Math.min(first.book, cell.book), to: Math.max(first.book, cell.book),
    start: Math.min(first.frame, cell.frame), end: Math.max(first.frame, cell.frame) + 1}
}

function beginPinch(box) {
  down = null
  const [a, b] = fingers.values()
  pinch = {apart: Math.max(20, Math.abs(a - b)), centre: timeAt(box, (a + b) / 2), length: state.view.end - state.view.start}
  set({draft: null, stroke: null})
}

function movePinch(box) {
  if (fingers.size < 2) return
  const [a, b] = fingers.values()
  const length = Math.max(0.05, (pinch.length * pinch.apart) / Math.max(20, Math.abs(a - b)))
  const {left, width} = box.getBoundingClientRect()
  show(pinch.centre - (((a + b) / 2 - left) / width) * length, length)
}

// Tasks: tabs with a sentence each, and what each can be told.
import {edit, html, state} from './store.js'
import {Choice, Icon, NumberInput, Segments, Slider, Switch, TextField} from './inputs.js'
import {cancelAll, generate, runningJobs} from './jobs.js'
import {refOf} from './project.js'
import {PromptPanel} from './promptpanel.js'
import {PROMPTED, SETTINGS, TASKS, obstacle, randomSeed, regionsOf} from './request.js'
import {soundOf} from './sounds.js'
import {FinetunePanel, LoraPicker} from './finetune.js'
import {T} from './texts.js'

const FOLLOWS = ['vary', 'loop', 'fill', 'extend', 'continue']
const TABS = [...TASKS, 'finetune']

export function Tasks() {
  const {task} = state.edit
  const choose = (name) => edit({task: name})
  const onKeyDown = (event) => {
    const at = TABS.indexOf(task)
    const to = {ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: TABS.length - 1}[event.key]
    if (to === undefined) return
    event.preventDefault()
    event.stopPropagation()
    choose(TABS[(to + TABS.length) % TABS.length])
    queueMicrotask(() => document.getElementById(`tab-${state.edit.task}`)?.focus())
  }
  return html`<section class="card tasks" aria-label=${T.tasksLabel}>
    <div class="tabs" role="tablist" aria-label=${T.tasksLabel} onKeyDown=${onKeyDown}>
      ${TABS.map((name) => html`<button key=${name} role="tab" id=${`tab-${name}`} aria-selected=${name === task} aria-controls="task-panel"
        tabindex=${name === task ? 0 : -1} onClick=${() => choose(name)}>${T.tasks[name][0]}</button>`)}
    </div>
    <div role="tabpanel" id="task-panel" aria-labelledby=${`tab-${task}`}>
      <p class="sentence">${T.tasks[task][1]}</p>
      ${task === 'finetune' ? html`<${FinetunePanel} />` : html`<${TaskPanel} task=${task} />`}
    </div>
  </section>`
}

function TaskPanel({task}) {
  return html`<${Where} task=${task} />
    ${OWN[task]?.()}
    ${PROMPTED.includes(task) && html`<${PromptPanel} name=${task} />`}
    ${task !== 'compress' && html`<${Settings} />`}
    <${Make} task=${task} />`
}

function Where({task}) {
  const fresh = regionsOf(state.edit, 'new'), kept = regionsOf(state.edit, 'keep')
  if (!['vary', 'fill', 'loop'].includes(task) || !refOf(state.base)) return null
  return html`<p class="where">${T.where(task, fresh, kept, state.edit.paint.length)}</p>`
}

const number = (name) => (value) => edit({[name]: value}, name)
const fresh = (name) => (value) => edit({fresh: {...state.edit.fresh, [name]: value}}, `fresh ${name}`)

const OWN = {
  loop: () => html`<div class="fields">
    <${Slider} label=${T.bars} hint=${T.barsHint} value=${state.edit.bars} range=${[0, 32, 1]} onInput=${number('bars')} />
    <${Switch} label=${T.loopPoints} hint=${T.loopPointsHint} on=${state.edit.points} onChange=${(points) => edit({points})} /></div>`,
  extend: () => html`<div class="fields">
    <${Slider} label=${T.before} value=${state.edit.before} range=${[0, 60, 0.5]} unit="s" onInput=${number('before')} />
    <${Slider} label=${T.after} value=${state.edit.after} range=${[0, 60, 0.5]} unit="s" onInput=${number('after')} /></div>
    <${PromptPanel} name="theme" />`,
  continue: () => html`<div class="fields">
    <${Slider} label=${T.addSeconds} value=${state.edit.seconds} range=${[0.5, 120, 0.5]} unit="s" onInput=${number('seconds')} /></div>
    <${PromptPanel} name="theme" />`,
  stretch: () => html`<div class="fields">
    <${Slider} label=${T.factor} value=${state.edit.factor} range=${[1, 8, 0.05]} unit="×" onInput=${number('factor')}
      hint=${T.factorHint(refOf(state.base) ? soundOf(refOf(state.base)).seconds * state.edit.factor : 0)} /></div>`,
  compress: () => html`<div class="fields">
    <${Slider} label=${T.codebooks} hint=${T.codebooksHint} value=${state.edit.codebooks} range=${[1, 14, 1]} onInput=${number('codebooks')} />
    <${Slider} label=${T.period} hint=${T.periodHint} value=${state.edit.period} range=${[1, 16, 1]} onInput=${number('period')} /></div>`,
  new: () => html`<div class="fields">
    <${Slider} label=${T.newSeconds} value=${state.edit.fresh.seconds} range=${[1, 120, 0.5]} unit="s" onInput=${fresh('seconds')} />
    ${refOf(state.base) && html`<${Switch} label=${T.like} hint=${T.likeHint} on=${state.edit.fresh.like} onChange=${fresh('like')} />`}</div>
    ${state.edit.fresh.like && refOf(state.base) ? html`<${PromptPanel} name="like" />` : html`<${Words} />`}`,
}

function Words() {
  const {fresh: words} = state.edit
  return html`<fieldset class="fields words"><legend>${T.words}</legend><p class="hint">${T.wordsHint}</p>
    <div class="two">
      <${TextField} label=${T.word.bpm} value=${words.bpm} placeholder="96" inputMode="decimal" onInput=${fresh('bpm')} />
      <${TextField} label=${T.word.key} value=${words.key} placeholder="D minor" onInput=${fresh('key')} />
      <${TextField} label=${T.word.chords} value=${words.chords} placeholder="Dm7 | G7 | Cmaj7" onInput=${fresh('chords')} />
      <${TextField} label=${T.word.bars} value=${words.bars} placeholder="8" inputMode="numeric" onInput=${fresh('bars')} />
      <${TextField} label=${T.word.style} value=${words.style} placeholder="funk" onInput=${fresh('style')} />
      <${TextField} label=${T.word.instruments} value=${words.instruments} placeholder="piano, no drums" onInput=${fresh('instruments')} />
    </div></fieldset>`
}

function Settings() {
  const {edit: now} = state
  const changed = Object.keys(now.settings).length
  const setting = (name) => (value) => {
    const settings = {...state.edit.settings, [name]: value}
    if (value === SETTINGS[name][0]) delete settings[name]
    edit({settings}, name)
  }
  return html`<details class="more"><summary>${T.settings}${changed ? html` <span class="count">${T.changedSettings(changed)}</span>` : ''}</summary>
    <div class="fields">
      ${Object.entries(SETTINGS).map(([name, [start, ...range]]) => html`<${Slider} key=${name} label=${T.setting[name][0]} hint=${T.setting[name][1]}
        value=${now.settings[name] ?? start} range=${range} onInput=${setting(name)} />`)}
      ${now.task === 'vary' && html`<${Slider} label=${T.rounds} hint=${T.roundsHint} value=${now.rounds} range=${[1, 16, 1]} onInput=${number('rounds')} />`}
      ${FOLLOWS.includes(now.task) && html`<${Follow} />`}
      ${state.models.length > 1 && html`<${Choice} label=${T.model} value=${now.bundle} onChange=${(bundle) => edit({bundle})}
        options=${state.models.map(({name, title}) => [name, title ?? name])} />`}
      <${LoraPicker} />
      ${changed > 0 && html`<button class="quiet" onClick=${() => edit({settings: {}})}>${T.resetSettings}</button>`}
    </div></details>`
}

function Follow() {
  const {follow, best} = state.edit
  const toggle = (name) => edit({follow: follow.includes(name) ? follow.filter((one) => one !== name) : [...follow, name]})
  return html`<fieldset class="follow"><legend>${T.follow}</legend><p class="hint">${T.followHint}</p>
    <div class="chips">${['beats', 'rhythm', 'chords', 'melody'].map((name) => html`<button key=${name} class="chip" aria-pressed=${follow.includes(name)}
      onClick=${() => toggle(name)}>${T.followed[name]}</button>`)}</div>
    ${follow.length > 0 && html`<${Slider} label=${T.bestOf} value=${best} hint=${T.bestOfHint} range=${[1, 16, 1]} onInput=${(value) => edit({best: value}, 'best')} />`}
  </fieldset>`
}

function Make({task}) {
  const {edit: now} = state, running = runningJobs()
  const problem = obstacle(now, Boolean(refOf(state.base)))
  const count = task === 'compress' ? 1 : now.n
  return html`<div class="make">
    ${task !== 'compress' && html`<div class="seed">
      <label for="seed">${T.seed}</label>
      <${NumberInput} id="seed" min="0" max="9007199254740991" step="1" value=${now.seed} onNumber=${(seed) => edit({seed: Math.max(0, Math.floor(seed))}, 'seed')} />
      <button class="icon-button" aria-label=${T.dice} title=${T.dice} onClick=${() => edit({seed: randomSeed()})}><${Icon} name="dice" /></button>
      <button class="icon-button" aria-pressed=${now.locked} aria-label=${T.lock} title=${T.lockHint} onClick=${() => edit({locked: !now.locked})}>
        <${Icon} name=${now.locked ? 'lock' : 'unlock'} /></button>
      <${Segments} label=${T.count} value=${now.n} options=${[1, 2, 4, 8].map((n) => [n, String(n), T.variations(n)])} onChange=${(n) => edit({n})} />
    </div>`}
    <div class="go">
      <button class="main" onClick=${() => generate()} disabled=${Boolean(problem) || state.maskError !== '' || !state.online} aria-describedby="make-note">
        ${T.makeButton(task, count)}<kbd>g</kbd></button>
      ${running.length > 0 && html`<button onClick=${cancelAll}>${T.cancelAll(running.length)} <kbd>Esc</kbd></button>`}
    </div>
    <p class="hint" id="make-note" role="status">${problem ? T.obstacles[problem] : modelNote()}</p>
  </div>`
}

function modelNote() {
  const {model, message} = state.health
  if (!state.online) return T.serverAway
  return model === 'ready' ? '' : model === 'failed' ? T.modelFailed(message) : model === 'unloaded' ? T.modelUnloaded : T.modelLoading
}

// Header: project and what can be done with it, undo, model, theme and help.
import {useState} from '../vendor/hooks.js'
import {download} from './api.js'
import {Icon, Menu} from './inputs.js'
import {bringSound, deleteProject, openProject, renameProject} from './project.js'
import {html, redo, set, state, toast, undo} from './store.js'
import {T} from './texts.js'

const act = async (work) => {
  try {
    await work()
  } catch (error) {
    toast(error.message, {kind: 'error'})
  }
}

export function Header() {
  const {project} = state
  const others = state.projects.filter(({id}) => id !== project?.id).slice(0, 12)
  return html`<header>
    <h1><img src="icon.svg" alt="" width="28" height="28" /> <span>vampnet studio</span></h1>
    ${project && html`<${ProjectName} project=${project} />`}
    <${Menu} label=${T.projectMenu} class="icon-button" items=${[
      [T.newProject, () => set({project: null, base: 'input', heard: null, side: 'A', mask: null})],
      project && [T.exportProject, () => act(() => download(`/api/v1/projects/${project.id}/export`, `${project.name}.zip`))],
      [T.importProject, pickProject],
      ...others.map(({id, name}) => [T.openProject(name), () => act(() => openProject(id))]),
      project && [T.deleteProject, () => set({dialog: {kind: 'sure', text: T.sureProject(project.name), yes: T.deleteProject, run: () => act(() => deleteProject(project.id))}}), 'danger'],
      [T.deleteData, () => set({dialog: {kind: 'data'}}), 'danger']]}><${Icon} name="more" /><//>
    <span class="grow"></span>
    <button class="icon-button" onClick=${undo} disabled=${!state.undo.length} aria-label=${T.undo} title=${`${T.undo} (Ctrl+Z)`}><${Icon} name="undo" /></button>
    <button class="icon-button flip" onClick=${redo} disabled=${!state.redo.length} aria-label=${T.redo} title=${`${T.redo} (Ctrl+Shift+Z)`}><${Icon} name="undo" /></button>
    <${Model} />
    <${Theme} />
    <button class="icon-button" onClick=${() => set({dialog: {kind: 'help'}})} aria-label=${T.help} title=${`${T.help} (?)`}><${Icon} name="help" /></button>
  </header>`
}

function ProjectName({project}) {
  const [draft, setDraft] = useState(null)
  const save = (event) => {
    const name = event.target.value.trim()
    setDraft(null)
    if (name && name !== project.name) act(() => renameProject(name))
  }
  return html`<input class="project-name" key=${project.id} value=${draft ?? project.name} onInput=${(event) => setDraft(event.target.value)} aria-label=${T.projectName} onChange=${save} onBlur=${save}
    onKeyDown=${(event) => event.key === 'Enter' && event.target.blur()} />`
}

function Model() {
  const {model} = state.health
  return html`<span class=${`model ${state.online ? model : 'away'}`} role="status" title=${state.health.message}><i aria-hidden="true"></i><span>${state.online ? T.modelStates[model] : T.away}</span></span>`
}

const THEMES = ['auto', 'light', 'dark']
function Theme() {
  const [theme, setTheme] = useState(localStorage.getItem('vampnet-theme') ?? 'auto')
  document.documentElement.dataset.theme = theme
  const next = () => {
    const to = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]
    localStorage.setItem('vampnet-theme', to)
    document.documentElement.dataset.theme = to
    setTheme(to)
    requestAnimationFrame(() => set({}))
  }
  return html`<button class="icon-button theme" onClick=${next} aria-label=${T.theme(T.themes[theme])} title=${T.theme(T.themes[theme])}><span aria-hidden="true">◐</span></button>`
}

function pickProject() {
  const input = document.createElement('input')
  input.type = 'file'
  input.accept = '.zip,application/zip'
  input.onchange = () => act(() => bringSound(input.files[0]))
  input.click()
}

// What is seen before there is a sound: ways to bring one.
import {Icon} from './inputs.js'
import {bringExample, bringSound, newProject, openProject} from './project.js'
import {startRecording, stopRecording} from './record.js'
import {edit, html, state, toast} from './store.js'
import {T} from './texts.js'

const act = (work) => async (...given) => {
  try {
    await work(...given)
  } catch (error) {
    toast(error.message, {kind: 'error'})
  }
}

const fromNothing = act(async () => {
  await newProject(null, T.tasks.new[0])
  edit({task: 'new'})
})

export function Welcome() {
  const recording = state.recording !== undefined && state.recording !== null
  return html`<section class="welcome card" aria-label=${T.welcomeLabel}>
    <label class="drop"><strong>${T.welcome}</strong><span>${T.welcomeMore}</span>
      <input type="file" class="unseen" id="file" accept="audio/*,.zip,.vamp,.wav,.flac,.ogg,.opus,.mp3,.aif,.aiff,.m4a" onChange=${(event) => event.target.files[0] && act(bringSound)(event.target.files[0])} />
      <span class="button main" aria-hidden="true">${T.chooseFile}</span></label>
    <div class="ways">
      <button onClick=${recording ? stopRecording : act(startRecording)} aria-pressed=${recording}><${Icon} name="mic" /> ${recording ? T.stopRecording(state.recording) : T.record}</button>
      ${state.examples.map((one) => html`<button key=${one.name} onClick=${() => act(bringExample)(one.name)}>${T.example(one.title ?? one.name)}</button>`)}
      <button onClick=${fromNothing}>${T.fromNothing}</button>
    </div>
    ${state.projects.length > 0 && html`<div class="recent"><h2>${T.recent}</h2><ul>${state.projects.slice(0, 8).map(({id, name, created_at: made}) => html`<li key=${id}>
      <button class="quiet" onClick=${() => act(openProject)(id)}>${name}</button> <span class="hint">${T.date(made)}</span></li>`)}</ul></div>`}
  </section>`
}

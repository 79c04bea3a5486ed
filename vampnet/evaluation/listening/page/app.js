// The way through the test: welcome, volume, training, trials, end.

const main = document.getElementById("main");
const submitUrl = document.querySelector('meta[name="submit-url"]').content;
const bank = new AudioBank(TEST.rateHz);
let state = freshState();
let plan = planOf(TEST, state.seed);
let player = null;
let press = () => false; // keys of the screen that is shown
let proceed = null; // what Enter does

/** Made at the first key or click, as browsers ask. */
function thePlayer() {
  player ??= new Player(new AudioContext({ sampleRate: TEST.rateHz, latencyHint: "interactive" }));
  return player;
}

function go(screen, index = 0) {
  player?.unload();
  Object.assign(state, { screen, index });
  store(state);
  draw();
}

function draw() {
  press = () => false;
  proceed = null;
  if (player) player.onchange = () => {};
  const screens = { welcome, volume, training: trialScreen, trials: trialScreen, done };
  screens[state.screen]();
  const share = { welcome: 0, volume: 0, training: 0, trials: state.index / TEST.trials.length, done: 1 }[state.screen];
  const bar = document.getElementById("bar");
  bar.setAttribute("aria-valuenow", String(Math.round(100 * share)));
  bar.firstChild.style.width = `${100 * share}%`;
  const over = state.resumed > 0 && state.screen !== "done";
  const again = element("button", { type: "button", class: "plain", onclick: restart }, "Start over");
  document.body.dataset.screen = state.screen;
  document.getElementById("step").replaceChildren(stepText(), ...(over ? [again] : []));
  window.scrollTo(0, 0);
  main.querySelector("h1")?.focus({ preventScroll: true });
}

function stepText() {
  if (state.screen === "trials") return `${state.index + 1} of ${TEST.trials.length}`;
  return { welcome: "", volume: "Volume", training: "Training", done: "Done" }[state.screen];
}

function show(...nodes) {
  main.replaceChildren(...nodes.filter((node) => node !== null));
}

function heading(text) {
  return element("h1", { tabindex: "-1" }, text);
}

function nextButton(text, act) {
  const button = element("button", { type: "button", class: "next", onclick: act }, `${text} `, keycap("Enter"));
  proceed = () => button.disabled || act();
  return button;
}

// --- welcome ---------------------------------------------------------------------------------------------------------

function welcome() {
  const consent = element("input", { type: "checkbox", id: "consent", onchange: () => (begin.disabled = !consent.checked) });
  const id = element("input", { type: "text", id: "participant", maxlength: "64", autocomplete: "off", spellcheck: "false" });
  const begin = nextButton("Begin", () => {
    thePlayer().context.resume();
    state.participant = asId(id.value);
    state.started = new Date().toISOString();
    go("volume");
  });
  begin.disabled = true;
  show(
    heading(TEST.title),
    ...TEST.instructions.split("\n").filter(Boolean).map((text) => element("p", {}, text)),
    element("p", {}, `${howItGoes()} ${durationText()}`),
    element("p", {}, `Use headphones in a quiet room. ${store(state) ? KEPT : NOT_KEPT}`),
    element("h2", {}, "What is recorded"),
    element("p", {}, whatIsRecorded()),
    TEST.askParticipant
      ? element("p", { class: "field" }, element("label", { for: "participant" }, "Participant id, as you were given it (no name; may stay empty)"), id)
      : null,
    element("p", { class: "check" }, consent, element("label", { for: "consent" }, "I have read this and take part of my own free will. I can stop at any time.")),
    element("p", { class: "go" }, begin),
  );
  showKeys([["Tab", "to the box"], ["Space", "tick it"], ["Enter", "go on"]]);
}

/** Letters, digits and _.@- alone, as the server takes it. */
function asId(text) {
  const kept = text.normalize().replace(/[^\p{L}\p{N}_.@ -]/gu, "").replace(/^[^\p{L}\p{N}]+/u, "");
  return [...kept].slice(0, 64).join("").trim();
}

const KEPT = "A reload or a closed tab loses nothing.";
const NOT_KEPT = "This browser stores nothing (is it a private window?): do not reload or close this page before the end.";

function howItGoes() {
  const n = TEST.trials.length;
  const times = n === 1 ? "once" : `${n} times`;
  return {
    mushra: `You will hear several versions of a piece of music and rate each against the original, ${times}.`,
    abx: `You will hear A, B and X, where X is one of the other two, and say which one, ${times}.`,
    preference: `You will hear two versions of a piece of music and say which you prefer, ${times}.`,
  }[TEST.kind];
}

function durationText() {
  const perTrial = (trial) => 8 + 1.5 * trial.duration_s * (trial.stimuli.length + (TEST.kind === "preference" ? 0 : 1));
  const seconds = 90 + TEST.trials.map(perTrial).reduce((sum, s) => sum + s, 0);
  return `That takes ${minutesText(seconds)}.`;
}

function whatIsRecorded() {
  const goes = submitUrl ? "sent to the people who run this test" : "saved as a file that you hand over yourself";
  const id = TEST.askParticipant ? "the participant id if you give one" : "no name or other personal data";
  return (
    "Your answers, how often you played what and for how long, the date and time, a random number that orders the test, " +
    `and ${id}. At the end this is ${goes}; until then it stays in this browser.`
  );
}

// --- audio of a screen -----------------------------------------------------------------------------------------------

/** Load the sounds of a trial, then call `ready`; shows what goes wrong. */
async function withSounds(sounds, place, ready) {
  const here = `${state.screen}/${state.index}`;
  place.replaceChildren(element("p", { class: "note", role: "status" }, "Loading audio …"));
  try {
    const labels = Object.keys(sounds);
    const buffers = await Promise.all(labels.map((label) => bank.get(sounds[label])));
    if (`${state.screen}/${state.index}` !== here) return;
    thePlayer().load(new Map(labels.map((label, k) => [label, buffers[k]])));
    ready();
  } catch (error) {
    const again = element("button", { type: "button", class: "plain", onclick: draw }, "Try again");
    place.replaceChildren(element("p", { class: "note", role: "alert" }, `${error.message}. `, again));
  }
}

function transport(time) {
  const button = element("button", { type: "button", class: "transport", onclick: toggle, "aria-label": "Play or stop" });
  return { node: element("div", { class: "player" }, button, time.node), button };
}

function toggle() {
  if (player.playing) player.stop();
  else player.play(player.label ?? [...player.buffers.keys()][0]);
}

function showTransport(button) {
  button.classList.toggle("playing", player.playing);
  const heard = player.label === "R" ? "the reference" : player.label;
  document.getElementById("live").textContent = player.playing ? `Playing ${heard}` : "Stopped";
}

// --- volume ----------------------------------------------------------------------------------------------------------

function volume() {
  const place = element("div");
  show(
    heading("Set the volume"),
    element("p", {}, "Play the music and turn it up until it is loud enough to hear every detail, and comfortable. Then leave the volume as it is until the end."),
    place,
    element("p", { class: "go" }, nextButton("The volume is right", () => go("training"))),
  );
  const { sounds } = plan.training;
  const first = sounds.R ? "R" : "A";
  withSounds({ [first]: sounds[first] }, place, () => {
    const time = timeline(player);
    const { node, button } = transport(time);
    place.replaceChildren(node);
    player.onchange = () => (time.draw(), showTransport(button));
    press = (event) => time.press(event.key);
    time.begin();
  });
  showKeys([["Space", "play or stop"], ["Enter", "go on"]]);
}

// --- training and trials ---------------------------------------------------------------------------------------------

function trialScreen() {
  const training = state.screen === "training";
  const planned = training ? plan.training : plan.trials[state.index];
  const draft = (state.drafts[planned.trial.id] ??= emptyDraft());
  const place = element("div", { class: "trial" });
  const note = element("p", { class: "note missing", role: "status" });
  const last = !training && state.index === TEST.trials.length - 1;
  const next = nextButton(training ? "Start the test" : last ? "Finish" : "Next", () => {
    if (training) go("trials", 0);
    else if (last) finish();
    else go("trials", state.index + 1);
  });
  next.disabled = true;
  show(
    heading(TEST.question),
    training ? element("p", { class: "callout" }, trainingText()) : null,
    place,
    element("div", { class: "go" }, next, note),
  );
  withSounds(planned.sounds, place, () => {
    fillTrial(place, planned, draft, (missing) => {
      next.disabled = Boolean(missing);
      note.textContent = missing;
    });
    prefetch();
  });
}

function fillTrial(place, planned, draft, report) {
  const changed = () => {
    report(view.missing());
    store(state);
  };
  const view = (TEST.kind === "mushra" ? mushraView : choiceView)(planned, draft, player, changed);
  const time = timeline(player);
  const { node, button } = transport(time);
  let counted = null;
  let since = null;
  player.onchange = () => {
    if (since !== null) draft.seconds += (performance.now() - since) / 1000;
    since = player.playing ? performance.now() : null;
    if (player.playing && player.label !== counted) draft.plays[player.label] = (draft.plays[player.label] ?? 0) + 1;
    counted = player.playing ? player.label : null;
    time.draw();
    markPlaying(place, player, draft.plays);
    showTransport(button);
    changed();
  };
  if (view.top) node.prepend(view.top);
  place.replaceChildren(node, view.node);
  press = (event) => view.press(event) || time.press(event.key);
  showKeys([["Space", "play or stop"], ...view.keys, [", .", "loop from, to here"], ["Enter", "next"]]);
  time.begin();
  markPlaying(place, player, draft.plays);
  changed();
}

function trainingText() {
  const how = {
    mushra:
      "Training: this one does not count. Play the reference, then A, B and so on, and switch while it plays. One of them is " +
      "the reference itself and deserves 100.",
    abx: "Training: this one does not count. Switch between A, B and X while they play, and loop a short part where they differ.",
    preference: "Training: this one does not count. Switch between A and B while they play, as often as you like.",
  };
  return how[TEST.kind];
}

/** Get the next trial's audio while this one is heard, and let go of what is over. */
function prefetch() {
  const next = state.screen === "training" ? plan.trials[0] : plan.trials[state.index + 1];
  const now = state.screen === "training" ? plan.training : plan.trials[state.index];
  const ids = new Set([now, next].filter(Boolean).flatMap((planned) => Object.values(planned.sounds)));
  bank.keepOnly(ids);
  for (const id of ids) bank.get(id).catch(() => {}); // told when the trial comes
}

// --- end -------------------------------------------------------------------------------------------------------------

function finish() {
  state.finished = new Date().toISOString();
  go("done");
}

function done() {
  const result = resultOf(state, plan);
  const status = element("p", { class: "callout", role: "status" });
  const retry = element("button", { type: "button", class: "next", onclick: hand }, "Send again");
  const save = element("button", { type: "button", class: submitUrl ? "plain" : "next", onclick: () => download(result) }, "Download my answers");
  const again = element("button", { type: "button", class: "plain", onclick: restart }, "New participant");
  retry.hidden = true;
  show(heading("Thank you"), status, element("div", { class: "go" }, retry, save, again));
  showKeys([]);
  if (submitUrl) hand();
  else status.textContent = "That was all. Download your answers and give the file to whoever invited you.";

  async function hand() {
    if (!state.submitted) {
      status.textContent = "Sending your answers …";
      try {
        await send(submitUrl, result);
        state.submitted = true;
        store(state);
      } catch (error) {
        status.textContent = `Your answers could not be sent: ${error.message}. They are safe in this browser. Try again, or download them.`;
        retry.hidden = false;
        return;
      }
    }
    status.textContent = "That was all. Your answers have arrived. You can close this page.";
    retry.hidden = true;
  }
}

function restart() {
  if (!state.submitted && !confirm("Answers that were not sent will be gone from this browser. Go on?")) return;
  forget();
  state = freshState();
  plan = planOf(TEST, state.seed);
  go("welcome");
}

// --- keys, and where we were -----------------------------------------------------------------------------------------

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.matches("input[type=text]")) {
    if (event.key === "Enter" && event.target.matches("input[type=text]")) proceed?.();
    return;
  }
  const onButton = event.target.matches("button, a, [type=checkbox], [type=radio]:not(:checked)");
  if (event.key === "Enter" && !event.target.matches("button, a")) proceed?.();
  else if (event.key === " " && !onButton && player?.buffers.size) toggle();
  else if (!press(event)) return;
  event.preventDefault();
});

function start() {
  const stored = storedState();
  if (stored?.screen && stored.screen !== "welcome") {
    state = { ...freshState(), ...stored, resumed: stored.resumed + (stored.screen === "done" ? 0 : 1) };
    plan = planOf(TEST, state.seed);
    store(state);
  }
  draw();
}

window.vampnetListening = { Player, planOf, randomOf, shuffled }; // for tests of these alone
start();

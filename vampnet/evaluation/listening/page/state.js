// What the participant has done so far, kept in the browser until it is handed in.

const STORE = `vampnet-listening-${TEST.id}`;

function freshState() {
  const seed = new URLSearchParams(location.search).get("seed");
  return {
    seed: /^\d{1,9}$/.test(seed ?? "") ? Number(seed) : crypto.getRandomValues(new Uint32Array(1))[0],
    submission: [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join(""),
    participant: "",
    started: null,
    finished: null,
    screen: "welcome",
    index: 0,
    drafts: {},
    resumed: 0,
    submitted: false,
  };
}

function emptyDraft() {
  return { ratings: {}, plays: {}, answer: null, seconds: 0 };
}

/** The state of an interrupted test, or null. */
function storedState() {
  try {
    return JSON.parse(localStorage.getItem(STORE));
  } catch {
    return null;
  }
}

/** False where the browser keeps nothing, as in some private windows. */
function store(state) {
  try {
    localStorage.setItem(STORE, JSON.stringify(state));
    return true;
  } catch {
    return false;
  }
}

function forget() {
  try {
    localStorage.removeItem(STORE);
  } catch {
    // nothing was kept
  }
}

/** What is handed in. */
function resultOf(state, plan) {
  const answerOf = TEST.kind === "mushra" ? mushraAnswer : choiceAnswer;
  return {
    format: "vampnet-listening-result",
    version: TEST.version,
    test: TEST.id,
    submission: state.submission,
    seed: state.seed,
    participant: TEST.askParticipant ? state.participant : "",
    started: state.started,
    finished: state.finished,
    resumed: state.resumed,
    trials: plan.trials.map((planned) => answerOf(planned, state.drafts[planned.trial.id])),
  };
}

/** POST; throws an Error that says why it failed. */
async function send(url, result) {
  let answer;
  try {
    answer = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(result),
    });
  } catch {
    throw new Error("the server cannot be reached");
  }
  if (!answer.ok) throw new Error(`the server answered ${answer.status}: ${(await answer.text()).slice(0, 200)}`);
}

function download(result) {
  const blob = new Blob([JSON.stringify(result, null, 1)], { type: "application/json" });
  const link = element("a", {
    href: URL.createObjectURL(blob),
    download: `result-${result.test}-${result.submission.slice(0, 8)}.json`,
  });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

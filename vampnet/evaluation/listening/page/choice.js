// ABX and preference: a few stimuli to hear, and one choice.

/** As `mushraView`; `draft.answer` is a label, "none" for no preference, or null while there is none. */
function choiceView(planned, draft, player, changed) {
  const abx = TEST.kind === "abx";
  const options = abx
    ? [["A", "X is A"], ["B", "X is B"]]
    : [["A", "A"], ...(TEST.allowTie ? [["none", "No preference"]] : []), ["B", "B"]];
  const heard = abx ? ["A", "X", "B"] : ["A", "B"];
  const inputs = options.map(([value]) =>
    element("input", { type: "radio", name: "answer", value, onchange: () => choose(value) }),
  );
  const cards = options.map(([, text], k) =>
    element("label", { class: "option" }, inputs[k], element("span", {}, text), keycap(String(k + 1))),
  );
  const node = element(
    "div",
    { class: "choice" },
    element("div", { class: "stimuli" }, ...heard.map((label) => playButton(player, label))),
    element("fieldset", {}, element("legend", { class: "unseen" }, TEST.question), ...cards),
  );
  for (const input of inputs) input.checked = input.value === draft.answer;

  function choose(value) {
    draft.answer = value;
    changed();
  }

  function press(event) {
    const key = event.key.toUpperCase();
    if (heard.includes(key)) {
      player.play(key);
      return true;
    }
    const at = Number(key) - 1;
    if (!inputs[at]) return false;
    inputs[at].checked = true;
    inputs[at].focus();
    choose(inputs[at].value);
    return true;
  }

  function missing() {
    const unheard = heard.filter((label) => !draft.plays[label]);
    if (unheard.length) return `Not heard yet: ${listed(unheard)}`;
    return draft.answer ? "" : "Not answered yet";
  }

  return {
    node,
    top: null,
    press,
    missing,
    keys: [
      [heard.join(" "), "hear"],
      [options.map((_, k) => k + 1).join(" "), "answer"],
    ],
  };
}

function choiceAnswer(planned, draft) {
  const { A, B } = planned.sounds;
  const answer = { id: planned.trial.id, order: planned.order };
  if (TEST.kind === "abx") answer.x = planned.x;
  answer.answer = { A, B, none: null }[draft.answer];
  answer.plays = Object.keys(planned.sounds).map((label) => draft.plays[label] ?? 0);
  answer.seconds = Math.round(draft.seconds);
  return answer;
}

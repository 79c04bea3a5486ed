// MUSHRA: one slider of 0 to 100 per stimulus, against the open reference.

const LABELS = ["Excellent", "Good", "Fair", "Poor", "Bad"];

/**
 * `draft`: {ratings: {A: 70, ...}, plays: {...}}, changed in place; `changed` is called after that.
 * Returns {node, press(event) -> handled, missing() -> text or "", keys}.
 */
function mushraView(planned, draft, player, changed) {
  const labels = Object.keys(planned.sounds).filter((label) => label !== "R");
  const columns = labels.map((label) => column(label));
  const scale = element("div", { class: "scale", "aria-hidden": "true" }, ...LABELS.map((l) => element("span", {}, l)));
  const board = element("div", { class: "board", style: `--n:${labels.length}` }, scale, ...columns);

  function column(label) {
    const value = element("output", { class: "value" });
    const slider = element("input", {
      type: "range",
      min: "0",
      max: "100",
      step: "1",
      "aria-label": `Rating of ${label}`,
      oninput: rate,
      // A click on the handle where it stands is a rating as well.
      onpointerup: rate,
    });
    slider.value = draft.ratings[label] ?? 50;
    show();

    function rate() {
      draft.ratings[label] = Number(slider.value);
      show();
      changed();
    }

    function show() {
      const rated = label in draft.ratings;
      value.textContent = rated ? String(draft.ratings[label]) : "–";
      slider.classList.toggle("unrated", !rated);
      slider.style.setProperty("--value", slider.value);
      slider.setAttribute("aria-valuetext", rated ? `${slider.value}, ${wordFor(Number(slider.value))}` : "not rated");
    }

    const node = element("div", { class: "column" }, element("div", { class: "rail" }, slider), value, playButton(player, label));
    node.step = (by) => {
      slider.value = Number(slider.value) + by;
      rate();
    };
    node.slider = slider;
    node.confirm = rate;
    return node;
  }

  function press(event) {
    const key = event.key.toUpperCase();
    if (key === "R") {
      player.play("R");
      return true;
    }
    const at = labels.indexOf(key);
    if (at >= 0) {
      player.play(key);
      columns[at].slider.focus();
      return true;
    }
    const focused = columns.find((node) => node.slider === document.activeElement);
    if (!focused) return false;
    if (event.shiftKey && ["ArrowUp", "ArrowRight"].includes(event.key)) focused.step(10);
    else if (event.shiftKey && ["ArrowDown", "ArrowLeft"].includes(event.key)) focused.step(-10);
    // At the end of the range the browser sees no change, but the participant means that value.
    else if (event.key === "End" && focused.slider.value === "100") focused.confirm();
    else if (event.key === "Home" && focused.slider.value === "0") focused.confirm();
    else return false;
    return true;
  }

  function missing() {
    const unheard = labels.filter((label) => !draft.plays[label]);
    const unrated = labels.filter((label) => !(label in draft.ratings));
    if (unheard.length) return `Not heard yet: ${listed(unheard)}`;
    return unrated.length ? `Not rated yet: ${listed(unrated)}` : "";
  }

  return {
    node: board,
    top: playButton(player, "R", "Reference", keycap("R")),
    press,
    missing,
    keys: [
      ["R", "reference"],
      [`A … ${labels.at(-1)}`, "hear and choose"],
      ["↑ ↓", "rate (⇧: by ten)"],
    ],
  };
}

function wordFor(value) {
  return LABELS[Math.min(4, Math.floor((100 - value) / 20))];
}

function mushraAnswer(planned, draft) {
  const labels = Object.keys(planned.sounds).filter((label) => label !== "R");
  return {
    id: planned.trial.id,
    order: planned.order,
    ratings: labels.map((label) => draft.ratings[label]),
    plays: labels.map((label) => draft.plays[label] ?? 0),
    reference_plays: draft.plays.R ?? 0,
    seconds: Math.round(draft.seconds),
  };
}

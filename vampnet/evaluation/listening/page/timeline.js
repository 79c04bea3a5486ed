// The time line: where the loop is, and which part of the stimulus it takes. It shows no waveform: a listener could see
// there what should only be heard.

const HANDLES = ["start", "end"];

function timeline(player) {
  const band = element("div", { class: "band" });
  const head = element("div", { class: "head" });
  const ticks = element("div", { class: "ticks", "aria-hidden": "true" });
  const handles = HANDLES.map((name) =>
    element("div", {
      class: `handle ${name}`,
      role: "slider",
      tabindex: "0",
      "aria-label": name === "start" ? "Start of the loop, seconds" : "End of the loop, seconds",
      "aria-valuemin": "0",
      onkeydown: (event) => nudge(event, name),
    }),
  );
  const track = element("div", { class: "track" }, ticks, band, head, ...handles);
  const text = element("p", { class: "times" });
  const whole = element("button", { type: "button", class: "plain", onclick: reset }, "Whole ", keycap("0"));
  const node = element("div", { class: "timeline" }, track, element("div", { class: "under" }, text, whole));
  let draft = null; // the region while it is dragged

  function reset() {
    player.setRegion(0, player.durationS);
  }

  function draw() {
    const [start, end] = draft ?? player.region;
    const percent = (seconds) => `${(100 * seconds) / (player.durationS || 1)}%`;
    band.style.left = percent(start);
    band.style.right = `calc(100% - ${percent(end)})`;
    handles.forEach((handle, k) => {
      const value = [start, end][k];
      handle.style.left = percent(value);
      handle.setAttribute("aria-valuemax", player.durationS.toFixed(1));
      handle.setAttribute("aria-valuenow", value.toFixed(1));
    });
    text.textContent = `Loop ${start.toFixed(1)} to ${end.toFixed(1)} s`;
    whole.disabled = start === 0 && end === player.durationS;
  }

  function tick() {
    if (!node.isConnected) return;
    head.style.left = `${(100 * player.positionS) / (player.durationS || 1)}%`;
    requestAnimationFrame(tick);
  }

  function marks() {
    const step = player.durationS > 20 ? 5 : player.durationS > 4 ? 1 : 0.5;
    const places = [];
    for (let s = step; s < player.durationS - step / 4; s += step) places.push(s);
    ticks.replaceChildren(
      ...places.map((s) => element("i", { style: `left:${(100 * s) / player.durationS}%` })),
    );
  }

  function moved(name, seconds) {
    const [start, end] = player.region;
    if (name === "start") return [Math.max(0, Math.min(seconds, end - MIN_REGION_S)), end];
    return [start, Math.min(player.durationS, Math.max(seconds, start + MIN_REGION_S))];
  }

  function nudge(event, name) {
    const step = { ArrowLeft: -0.1, ArrowDown: -0.1, ArrowRight: 0.1, ArrowUp: 0.1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const now = player.region[HANDLES.indexOf(name)];
    player.setRegion(...moved(name, now + step * (event.shiftKey ? 10 : 1)));
  }

  track.addEventListener("pointerdown", (event) => {
    const box = track.getBoundingClientRect();
    const at = (e) => (Math.max(0, Math.min(1, (e.clientX - box.left) / box.width)) * player.durationS);
    const held = HANDLES[handles.indexOf(event.target)];
    const from = at(event);
    track.setPointerCapture(event.pointerId);
    const drag = (e) => {
      draft = held ? moved(held, at(e)) : [Math.min(from, at(e)), Math.max(from, at(e))];
      draw();
    };
    const drop = () => {
      track.removeEventListener("pointermove", drag);
      const region = draft;
      draft = null;
      // A click without a drag is no region.
      if (region && (held || region[1] - region[0] > 0.1)) player.setRegion(...region);
      draw();
    };
    track.addEventListener("pointermove", drag);
    track.addEventListener("pointerup", drop, { once: true });
    track.addEventListener("pointercancel", drop, { once: true });
  });

  /** Keys that set the loop at the place that is heard. */
  function press(key) {
    if (key === ",") player.setRegion(...moved("start", player.positionS));
    else if (key === ".") player.setRegion(...moved("end", player.positionS));
    else if (key === "0") reset();
    else return false;
    return true;
  }

  return { node, draw, press, begin: () => (marks(), draw(), tick()) };
}

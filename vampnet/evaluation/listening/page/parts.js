// Small parts of the page.

/** element("p", {class: "note", onclick: f}, "text", child, ...) */
function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

function keycap(text) {
  return element("kbd", {}, text);
}

/** The row of keys at the foot of the page: [["Space", "play or stop"], ...]. */
function showKeys(pairs) {
  const rows = pairs.map(([keys, what]) => element("span", {}, ...keys.split(" ").map(keycap), ` ${what}`));
  document.getElementById("keys").replaceChildren(...rows);
}

/** Round button that plays one stimulus, or stops it if it is the one that is heard. */
function playButton(player, label, name = label, hint = null) {
  const button = element(
    "button",
    {
      type: "button",
      class: "stimulus",
      "data-label": label,
      "aria-pressed": "false",
      "aria-label": `Play ${name}`,
      onclick: () => (player.playing && player.label === label ? player.stop() : player.play(label)),
    },
    element("span", {}, name),
    hint,
  );
  return button;
}

/** Marks the buttons of what is heard, and of what has been. */
function markPlaying(root, player, plays) {
  for (const button of root.querySelectorAll("button.stimulus")) {
    const label = button.dataset.label;
    button.setAttribute("aria-pressed", String(player.playing && player.label === label));
    button.classList.toggle("heard", (plays[label] ?? 0) > 0);
  }
}

function minutesText(seconds) {
  const minutes = Math.max(1, Math.round(seconds / 60));
  return minutes === 1 ? "about a minute" : `about ${minutes} minutes`;
}

/** "A", "A and B", "A, B and C" */
function listed(names) {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

// Random orders that a seed fixes, so that a reload and the analysis find the same ones.

/** Numbers in [0, 1) from a 32-bit seed: Marsaglia's xorshift (2003), its first outputs thrown away. */
function randomOf(seed) {
  let x = (seed ^ 0x9e3779b9) >>> 0 || 1;
  const next = () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    x >>>= 0;
    return (x - 1) / 0xffffffff;
  };
  for (let k = 0; k < 20; k += 1) next();
  return next;
}

/** A copy in random order: every permutation equally likely (Fisher and Yates). */
function shuffled(list, random) {
  const copy = [...list];
  for (let k = copy.length - 1; k > 0; k -= 1) {
    const other = Math.floor(random() * (k + 1));
    [copy[k], copy[other]] = [copy[other], copy[k]];
  }
  return copy;
}

/** What one participant meets: trials in their order, the stimuli of each in theirs, and X for ABX. */
function planOf(test, seed) {
  const random = randomOf(seed);
  const planned = (trial) => {
    const order = shuffled(trial.stimuli, random);
    const x = test.kind === "abx" ? order[random() < 0.5 ? 0 : 1] : null;
    return { trial, order, x, sounds: soundsOf(test.kind, trial, order, x) };
  };
  return { training: planned(test.training), trials: shuffled(test.trials, random).map(planned) };
}

/** Label on the screen -> id of the stimulus. */
function soundsOf(kind, trial, order, x) {
  const letters = order.map((id, k) => [String.fromCharCode(65 + k), id]);
  const sounds = Object.fromEntries(letters);
  if (kind === "mushra") return { R: trial.reference, ...sounds };
  return kind === "abx" ? { ...sounds, X: x } : sounds;
}

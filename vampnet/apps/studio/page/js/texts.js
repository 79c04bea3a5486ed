// All texts of the page. A translation is another file with the same names.
const plural = (n, one, many) => `${n} ${n === 1 ? one : many}`
const number = (value, digits = 1) => (+value.toFixed(digits)).toLocaleString('en')
const short = (seconds) => `${number(seconds, 2)} s`
const LEARNING = {load: 'loading the model', encode: 'listening', 'train coarse': 'learning the outline', 'train c2f': 'learning the detail', samples: 'making examples'}
const STAGES = {load: 'loading the model', encode: 'listening', coarse: 'composing', c2f: 'adding detail', decode: 'making sound', write: 'writing the file'}

export const T = {
  starting: 'Starting the studio…',
  serverAway: 'The server does not answer.',
  serverAwayLong: 'The server does not answer. Your takes are safe; the page goes on by itself as soon as it is back.',
  status: (code) => `The server answered with status ${code}; its log says more.`,
  skip: 'Skip to the tasks',
  close: 'Close', undo: 'Undo', redo: 'Redo', save: 'Save', cancel: 'Cancel', keepIt: 'Keep it', enter: 'Enter',
  help: 'Keys and help', theme: (name) => `Colours: ${name}`, themes: {auto: 'as the system', light: 'light', dark: 'dark'},
  modelStates: {ready: 'ready', loading: 'model is loading', unloaded: 'model rests', failed: 'model failed'}, away: 'no server',
  modelLoading: 'The model is still loading; takes wait until it is there.',
  modelUnloaded: 'The model is loaded with the first take.',
  modelFailed: (message) => `The model cannot be loaded: ${message}.`,
  needsKey: 'This server asks for a key.',
  keyTitle: 'A key, please', keyText: 'This server asks for an API key. It is kept until you close the tab.', keyLabel: 'API key', wrongKey: 'The server does not know this key, or no longer; look for missing letters.', giveKey: 'Give a key',

  welcomeLabel: 'Bring a sound', welcome: 'Drop a sound here', welcomeMore: 'or paste it, or choose a file: WAV, FLAC, OGG, MP3, AIFF, M4A, or a project as .zip',
  chooseFile: 'Choose a file', record: 'Record', stopRecording: (seconds) => `Stop recording (${number(seconds)} s)`,
  example: (title) => `Try the example: ${title}`, fromNothing: 'Begin from nothing', recent: 'Projects',
  date: (made) => new Date(typeof made === 'number' ? made * 1000 : made).toLocaleString('en', {dateStyle: 'medium', timeStyle: 'short'}),
  sending: (name, share) => `Sending ${name}… ${Math.round(share * 100)} %`, opening: 'Opening…', dropHere: 'Let go to open it as a new project',
  imported: (name) => `Imported ${name}.`,
  noMicrophone: 'The browser gives no microphone to this page; it needs one, and an address that is localhost or https.',
  microphoneRefused: 'The microphone was refused; allow it in the browser’s settings of this page.',
  recordedNothing: 'Nothing was recorded; look whether the microphone is muted.', recordingName: 'recording.wav',

  projectMenu: 'Project', projectName: 'Name of the project', newProject: 'New project…', exportProject: 'Export as one file', importProject: 'Import a project…',
  openProject: (name) => `Open ${name}`, deleteProject: 'Delete this project', sureProject: (name) => `Delete ${name} and all its takes?`,
  deleteData: 'Delete all my data', deleteDataText: 'All your projects, takes, uploads and adapters on this server are deleted. Nothing of it can be brought back.',
  deleteDataSure: 'Yes, all of it', allDeleted: 'All your data is deleted.',

  stage: 'Sound', inputName: 'Input', goneTake: 'a take that is gone', takeName: (n) => `Take ${n}`, baseBadge: 'starting point',
  length: (s) => (s >= 60 ? `${Math.floor(s / 60)} min ${number(s % 60)} s` : s < 1 ? `${number(s * 1000, 0)} ms` : `${number(s)} s`),
  channels: (n) => n && (({1: 'mono', 2: 'stereo'})[n] ?? `${n} channels`), rate: (hz) => hz && `${number(hz / 1000, 3)} kHz`, bpm: (bpm) => `${number(bpm)} BPM`, listening: 'finding beats…',
  waveLabel: (s) => `Waveform, ${short(s)}`, melLabel: 'Spectrogram, low notes at the bottom',
  maskLabel: (share) => (share === undefined ? 'No preview of what is kept' : `${number(share * 100)} percent of the tokens are kept`),
  drawing: 'drawing the spectrogram…', overview: 'Visible part', seconds: (s) => `${number(s, 3)} seconds`,
  tool: 'Tool', tools: {regions: 'Regions', paint: 'Paint', beats: 'Beats'},
  toolHints: {regions: 'Drag over the sound to mark a region', paint: 'Paint what is kept on the spectrogram', beats: 'Correct the beats, or set tempo and first beat'},
  unit: 'Ruler', secondsUnit: 'Seconds', barsUnit: 'Bars', zoom: 'Zoom', zoomIn: 'Zoom in', zoomOut: 'Zoom out', zoomFit: 'Show all',
  kinds: {new: 'New', keep: 'Keep'}, kindHints: {new: 'Only what lies in such regions is made anew', keep: 'What lies in such regions stays'},
  regionKind: 'Kind of region', addRegion: 'Add a region', removeRegion: 'Remove', clearRegions: 'Remove all', loopRegion: 'Loop it alone',
  regionName: (n, kind) => `Region ${n}, ${kind === 'new' ? 'made anew' : 'kept'}`, edges: {start: 'start', end: 'end'}, regionHint: 'Choose this region',
  dragHint: 'Drag over the sound to mark what is made anew. Without a region, all of it is.',
  brush: 'Brush', brushKind: 'Brush', brushHint: 'Drag over the spectrogram: across is time, up is finer detail (codebooks, coarse at the bottom).', brushWaits: 'The brush needs the preview, which is not there yet.',
  bookFrom: 'Codebook', bookTo: 'to', from: 'From s', to: 'to', paintStroke: 'Paint', clearPaint: (n) => `Wipe ${plural(n, 'stroke', 'strokes')}`,
  beatsFrom: 'Beats', foundBeats: 'Found', foundBeatsHint: 'Beats that were heard in the sound', ownBeats: 'My grid', ownBeatsHint: 'An even grid that you set', handBeats: 'By hand', handBeatsHint: 'Beats that you move, add and remove one by one',
  beatTime: (k, n) => `Beat ${k} of ${n} (s)`, beatName: (k, bar) => `Beat ${k}${bar ? ', begins a bar' : ''}`, beginsBar: 'Begins a bar', removeBeat: 'Remove', addBeat: 'Add at the playhead', lastBeat: 'One beat has to stay; choose Found to have none by hand.',
  beatsHint: 'Drag a beat. Double-click adds one, or has a bar begin at it.', foundHint: 'Drag a beat to correct it by hand.',
  bpmLabel: 'BPM', firstBeat: 'First beat (s)', perBar: 'Beats in a bar', tap: 'Tap', tapAgain: 'Tap on…', doubleTime: 'Double tempo', halfTime: 'Half tempo', gridHint: 'Drag the sound to shift the grid.',

  transport: 'Playing', play: 'Play', stop: 'Stop', loop: 'Loop', ab: 'A or B', hearA: 'Hear A (b switches)', hearB: 'Hear B (b switches)', noB: 'no take yet',
  noTakeYet: 'There is no take to compare yet; make one first.', compareWith: 'What A is', compareBase: (name) => `A is the starting point: ${name}`,
  dry: 'Dry', wet: 'Wet', wetLabel: 'Share of the take in what B plays', percent: (share) => `${Math.round(share * 100)} percent`,
  playSettings: 'Settings of playing', swapNow: 'Another take comes in at once', swapEnd: 'Another take comes in at the loop’s end', followOn: 'Swap in new takes as they come', followOff: 'Leave new takes aside',
  volume: (v) => `Volume ${Math.round(v * 100)} %`,
  cannotDecode: (name) => `The browser cannot play ${name}; takes of it can still be made.`,

  tasksLabel: 'What to do',
  tasks: {
    vary: ['Vary', 'Play it again, differently: some of it stays, the rest is new.'],
    loop: ['Loop', 'Vary a loop so that every take joins itself and the others without a seam.'],
    fill: ['Fill', 'Make marked regions anew; everything else stays bit for bit.'],
    extend: ['Extend', 'Add music before and after, in its tempo and key.'],
    continue: ['Continue', 'Let the music go on from where it ends.'],
    new: ['New', 'Make new music: from nothing, to words, or in the style of this sound.'],
    stretch: ['Stretch', 'Make it longer by composing new music in between.'],
    compress: ['Compress', 'Save it as a very small .vamp file; what it leaves out is imagined again when it is opened.'],
    finetune: ['Fine-tune', 'Teach the model your music: a small adapter that you can mix in.'],
  },
  where: (task, fresh, kept, strokes) => {
    const spans = (list) => list.map(({start, end}) => `${number(start, 2)}–${number(end, 2)} s`).join(', ')
    const parts = []
    if (fresh.length && task !== 'loop') parts.push(`Makes ${spans(fresh)} anew; all else stays bit for bit.`)
    else if (task === 'fill') parts.push('Mark a region on the sound first.')
    else parts.push('Works on the whole sound.')
    if (kept.length) parts.push(`Keeps ${spans(kept)}.`)
    if (strokes) parts.push(`${plural(strokes, 'painted stroke', 'painted strokes')} count too.`)
    return parts.join(' ')
  },
  promptTitle: {vary: 'What stays', loop: 'What stays', fill: 'What stays within the regions', theme: 'What new music takes up', like: 'What is taken from this sound'},
  presets: 'Presets', presetName: (name) => name.replace(/-/g, ' ').replace(/^./, (letter) => letter.toUpperCase()), noPreset: 'Your own mixture.',
  fineControls: 'Fine controls', promptText: 'Prompt', richText: 'This prompt says more than the controls can show. Change its text below, or choose a preset.',
  part: {
    periodic: ['Touch points', 'Keeps a short moment every so often; the more, the closer to the original.'],
    beats: ['On the beat', 'Keeps what happens around beats.'],
    onsets: ['Attacks', 'Keeps how notes begin.'],
    prefix: ['The beginning', 'Keeps the first seconds.'],
    suffix: ['The end', 'Keeps the last seconds.'],
    random: ['Here and there', 'Keeps tokens at random.'],
    codebooks: ['Coarse layers only', 'Of what is kept, keeps notes and outline and lets the details of sound be new.'],
    drop: ['Thin out', 'Lets go of a share of what is kept, at random.'],
  },
  partField: {
    'periodic period': 'Every … frames', 'periodic width': 'Frames each', 'beats after': 'After each beat', 'beats which': 'Which beats', 'beats every': 'Every … beat',
    'onsets after': 'After each attack', 'prefix length': 'Length', 'suffix length': 'Length', 'random rate': 'Share', 'codebooks n': 'Layers', 'drop share': 'Share',
  },
  which: {all: 'All', downbeats: 'First of the bar', upbeats: 'Between the beats'},
  settings: 'More settings', changedSettings: (n) => `${n} changed`, resetSettings: 'Back to the defaults',
  setting: {
    steps: ['Steps', 'How often the model goes over the music; more take longer, 12 is good, 36 is best.'],
    c2f_steps: ['Detail steps', 'The same for the finer layers; more than 2 are seldom heard.'],
    temperature: ['Daring', 'Lower is safer and plainer, higher is wilder.'],
    mask_temperature: ['Looseness', 'How freely the order is drawn in which notes are set; low values drift into drones.'],
    top_p: ['Choices', 'Below 1, unlikely sounds are left out.'],
    typical_mass: ['Typical', 'Below 1, sounds that are too likely or too unlikely are left out.'],
    typical_min_tokens: ['Typical, at least', 'How many sounds always stay in the running.'],
  },
  follow: 'Follow the original', followHint: 'What stays although the tokens are new. With beats given by hand or as a grid, those are followed.',
  followed: {beats: 'Beats', rhythm: 'Rhythm', chords: 'Chords', melody: 'Melody'}, bestOf: 'Candidates', bestOfHint: 'Above 1, so many are made for each take, and the one that follows best is kept.',
  model: 'Model', loras: 'Adapters in the next takes', lorasHint: '0 leaves an adapter out, 1 is its full strength; several add up.', noLoras: 'No adapters yet; the tab Fine-tune makes one of your music.',
  seed: 'Seed', dice: 'Another seed', lock: 'Keep this seed', lockHint: 'Locked: the next takes have the same seeds. Open: each time other ones.', count: 'How many takes', variations: (n) => plural(n, 'take', 'takes'),
  makeShort: (n) => `Make ${n}`,
  makeButton: (task, n) => (task === 'compress' ? 'Make the small file' : `Make ${n === 1 ? 'a take' : `${n} takes`}`), cancelAll: (n) => (n === 1 ? 'Cancel' : `Cancel all ${n}`),
  obstacles: {noSound: 'Bring a sound first.', noRegion: 'Mark a region on the sound: drag over it, or press r.', noLength: 'Give seconds to add before or after.'},
  bars: 'Bars', barsHint: '0: the whole sound is the loop. Else so many bars are cut from the first downbeat on.', loopPoints: 'Loop points', loopPointsHint: 'Marks the loop in WAV files for samplers.',
  before: 'Before', after: 'After', addSeconds: 'Add', factor: 'Times as long', factorHint: (s) => (s ? `Becomes ${short(s)}.` : ''),
  codebooks: 'Layers kept', codebooksHint: 'More layers sound closer and take more room.', period: 'Frames kept: one in', periodHint: '1 keeps all; more makes it smaller and freer.',
  newSeconds: 'Length', like: 'In the style of this sound', likeHint: 'Takes up its sound and tempo.', words: 'In words', wordsHint: 'All may stay empty. With words, a sketch is composed and played by the model.',
  word: {bpm: 'Tempo (BPM)', key: 'Key', chords: 'Chords', bars: 'Bars', style: 'Style', instruments: 'Instruments'},
  dropTraining: 'Drop recordings or a folder here, or choose them', dropToLearn: 'Let go to learn from it', recordings: 'Recordings to learn from', sendingShare: (share) => `${Math.round(share * 100)} %`,
  emptyFile: 'The file is empty.', noMusic: 'It is no recording.', trainSteps: 'Steps at most', trainStepsHint: 'Of each of the two networks. It stops earlier where it no longer gets better.',
  foundMusic: (n, seconds, isSending) => {
    if (!n) return isSending ? 'Sending…' : 'No recording to learn from yet.'
    const advice = seconds < 60 ? ' That is little: a few minutes that resemble each other are better.' : n === 1 ? ' With two files or more, one is held out to see whether it gets better.' : ''
    return `${plural(n, 'recording', 'recordings')}, ${T.length(seconds)}.${advice}`
  },
  learning: ({stage, done, total}, left) => {
    const step = /^train/.test(stage) ? `step ${Math.min(done + 1, total)} of at most ${total}` : stage === 'encode' ? `file ${Math.min(done + 1, total)} of ${total}` : ''
    return [LEARNING[stage] ?? 'getting ready', step, left ? `at most ${left < 90 ? `${Math.ceil(left / 10) * 10} s` : `${Math.ceil(left / 60)} min`} left` : ''].filter(Boolean).join(' · ')
  },
  learnedFrom: ({train_files: files, train_s: seconds, held_out_files: held}) => `Learned from ${plural(files.length, 'recording', 'recordings')}, ${T.length(seconds)}${held.length ? `; ${held.length} held out` : ''}.`,
  gained: ({nats, steps, held_out_files: held}) => {
    const better = Object.entries(nats).filter(([part, [before, after]]) => steps[part] > 0 && after < before)
    if (!better.length) return 'Nothing was gained: the adapter changes nothing. More music, or music of one kind, may help.'
    const parts = better.map(([part, [before, after]]) => `${part === 'coarse' ? 'outline' : 'detail'} ${number(before, 2)} → ${number(after, 2)}`)
    return `${held.length ? 'It guesses music that it did not hear better' : 'It guesses this recording better'} (nats per token, lower is better): ${parts.join(', ')}.`
  },
  leftOut: (n) => `${plural(n, 'file was', 'files were')} left out`, useIt: 'Use it', adapterUsed: (name) => `Next takes are made with ${name}.`,
  deleteAdapter: 'Delete', sureAdapter: (name) => `Delete the adapter ${name}? Takes that were made with it stay.`, finetuneFailed: (name) => `${name} was not made`,
  playExample: 'Play the example', examples: 'Example', exampleNames: ['Original', 'Without', 'With'],
  removeFile: (name) => `Remove ${name}`, loraNameLabel: 'Name of the adapter', loraName: 'my-music', startFinetune: 'Fine-tune on these',
  finetuneHint: 'Some minutes of music are enough. It takes a while: takes can be made meanwhile, and the page may be closed.', training: 'Fine-tuning', finetuned: (name) => `The adapter ${name} is ready.`,

  takes: 'Takes', listLabel: 'Show takes as', cards: 'Cards', tree: 'History', treeLabel: 'History of takes', nothingYet: 'Nothing',
  noTakes: 'Takes appear here. The first can be played while the others are still being made.',
  coming: 'A take is coming', failed: 'This take failed', unknownFailure: 'The server did not say why; its log says more.', progress: 'Progress of the take',
  sendingJob: 'on its way', waiting: (n) => (n ? `waits for ${plural(n, 'other', 'others')}` : 'waits its turn'), stopping: 'stopping…',
  atWork: (stage, done, total, left) => [STAGES[stage] ?? stage, total > 1 ? `step ${Math.min(done + 1, total)} of ${total}` : '', left !== null && left !== undefined ? `${left < 1 ? 'under 1' : Math.ceil(left)} s left` : ''].filter(Boolean).join(' · '),
  seedIs: (seed) => `seed ${seed}`, playTake: (name) => `Play ${name}`, stopTake: (name) => `Stop ${name}`, pin: (name) => `Pin ${name}`, pinHint: 'Pinned takes stay on top',
  moreOf: (name) => `More for ${name}`, compareThis: 'Compare: make it A', rename: 'Rename', nameHint: 'Choose; double-click renames', downloadAs: (format) => `Download ${format.toUpperCase()}`,
  copyAs: (name) => `Copy as ${name}`, codes: {command: 'command line', python: 'Python', json: 'JSON'}, copied: (name) => `Copied as ${name}.`, sameSettings: 'Use its settings and seed', removeTake: 'Remove', takeRemoved: (name) => `${name} is removed.`,
  goOn: 'Go on', goOnFrom: (name) => `Go on from ${name}`, isBase: 'Starting point', goingOnFrom: (name) => `New takes start from ${name}.`, backToInput: 'Back to the input',
  arriving: 'comes in at the loop’s end', takeReady: (name) => `${name} is ready.`, title: (name, n) => `${n ? `(${n}) ` : ''}${name ? `${name} – ` : ''}vampnet studio`,
  rounds: 'Rounds', roundsHint: 'Above 1, each round varies the round before: the music wanders off.',
  smallFile: (name, bytes) => `${name}: ${number(bytes / 1000)} kB.`,

  helpTitle: 'Keys', keysOn: 'Single letters and digits are keys', helpText: 'Bring a sound, mark what shall be new, make takes, compare them with A and B, and go on from the one you like. Nothing plays unless you say so.',
  keys: [
    ['Hear', [['Space', 'Play or stop'], ['b', 'Switch between A and B'], ['l', 'Loop on or off'], ['← →', 'Half a second back or on'], ['Home', 'To the beginning'], ['1 – 9', 'Choose take 1 to 9'], ['n Shift+n', 'Next or previous take']]],
    ['Make', [['g', 'Make takes'], ['Esc', 'Cancel what runs'], ['d', 'Another seed'], ['c', 'Go on from the take that is B'], ['p', 'Pin it'], ['e', 'Rename it'], ['x', 'Remove it'], ['Ctrl+Z', 'Undo'], ['Ctrl+Shift+Z', 'Redo']]],
    ['Mark', [['r', 'Add a region at the playhead'], ['[ ]', 'Region starts or ends at the playhead'], ['o', 'Loop the region alone'], ['Delete', 'Remove the region'], ['Tab', 'To the handles of regions'], ['← →', 'On a handle: 10 ms; Shift 100 ms; Alt 1 ms'], ['k', 'On a handle: new or keep'], ['t', 'Tap the tempo'], ['Ctrl+← →', 'On a beat by hand: another; k: a bar begins']]],
    ['See', [['+ -', 'Zoom'], ['0', 'Show all'], ['?', 'This help']]],
  ],
}

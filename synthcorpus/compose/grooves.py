"""Drum grooves as strings: one character per sixteenth of a bar of 4/4, one line per instrument.

`X` accent, `x` normal, `g` ghost note, `o` normal with probability one half, `.` rest. Pitches are General MIDI.
"""

from __future__ import annotations

KICK, SNARE, RIM, CLAP, HAT, PEDAL, OPEN, RIDE, BELL, CRASH = 36, 38, 37, 39, 42, 44, 46, 51, 53, 49
TOMS: tuple[int, ...] = (50, 48, 47, 45, 43, 41)
"""Toms from high to low."""

Groove = dict[int, str]

GROOVES: dict[str, tuple[Groove, ...]] = {
    "rock": (
        {KICK: "X.......x.o.....", SNARE: "....X.......X...", HAT: "X.x.X.x.X.x.X.x."},
        {KICK: "X......xx.......", SNARE: "....X.......X..o", HAT: "X.x.X.x.X.x.X.x."},
        {KICK: "X.....x...x.....", SNARE: "....X..g.g..X...", RIDE: "X.x.X.x.X.x.X.x."},
        {KICK: "X.x.....x.x.....", SNARE: "....X.......X...", HAT: "x.x.x.x.x.x.x...", OPEN: "..............x."},
    ),
    "rock_busy": (
        {KICK: "X..x..x.x..x..o.", SNARE: "....X..g....X.g.", HAT: "X.x.X.x.X.x.X.x."},
        {KICK: "X.x..x..x.x..x..", SNARE: "....X.......X..x", CRASH: "X...x...X...x..."},
        {KICK: "X...x...X...x.x.", SNARE: "..X...X...X...X.", RIDE: "X.x.X.x.X.x.X.x."},
    ),
    "metal": (
        {KICK: "XxXxxxxxXxXxxxxx", SNARE: "....X.......X...", CRASH: "X...x...X...x..."},
        {KICK: "X.xxX.xxX.xxX.xx", SNARE: "....X.......X...", RIDE: "X.x.X.x.X.x.X.x."},
        {KICK: "X..xx..xX..xx...", SNARE: "........X.......", CRASH: "X...x...X...x..."},
    ),
    "halftime": (
        {KICK: "X.....o...x.....", SNARE: "........X.......", HAT: "X.x.x.x.X.x.x.x."},
        {KICK: "X..x.......x..o.", SNARE: "........X......g", HAT: "X.xxx.x.X.x.x.xx"},
    ),
    "funk": (
        {KICK: "X.x.......x..x..", SNARE: "....X..g.g..X..g", HAT: "X.x.X.x.X.x.X.x."},
        {KICK: "X..x..x...x.....", SNARE: "....X..g.gg.X.g.", HAT: "xgxgxgxgxgxgxgxg"},
        {KICK: "X.x..x....xx....", SNARE: ".g..X.g..g..X.g.", HAT: "x.x.x.x.x.x...x.", OPEN: "............x..."},
    ),
    "funk_linear": (
        {KICK: "X..x..x..x......", SNARE: "....X..g..g.X.g.", HAT: ".xx..x..x..x.x.x"},
        {KICK: "X.....xx.....x..", SNARE: "...gX...gg..X..g", HAT: "x.x..x....x..xx."},
    ),
    "four": (
        {KICK: "X...X...X...X...", CLAP: "....X.......X...", OPEN: "..x...x...x...x."},
        {KICK: "X...X...X...X...", SNARE: "....X.......X...", HAT: "x.x.x.x.x.x.x.x."},
        {KICK: "X...X...X...X..o", CLAP: "....X.......X...", HAT: "xxXxxxXxxxXxxxXx"},
    ),
    "four_busy": (
        {KICK: "X...X...X...X...", CLAP: "....X.......X..g", HAT: "x.xx..xxx.xx..xx", OPEN: "..x...x...x...x."},
        {KICK: "X...X...X..xX...", RIM: "...x..x....x..x.", HAT: "xxxxxxxxxxxxxxxx", OPEN: "..X...X...X...X."},
        {KICK: "X...X...X...X.x.", RIDE: "..X...X...X...X.", HAT: "xgxgxgxgxgxgxgxg"},
    ),
    "boom_bap": (
        {KICK: "X......x..x.....", SNARE: "....X.......X...", HAT: "x.x.x.x.x.x.x.x."},
        {KICK: "X.x....x..x..o..", SNARE: "....X..g....X...", HAT: "x.xxx.x.x.x.x.xx"},
        {KICK: "X..x.....xx.....", SNARE: "....X.......X.g.", RIDE: "x...x.x.x...x.x."},
    ),
    "trap": (
        {KICK: "X......x..x.....", CLAP: "........X.......", HAT: "x.x.xxx.x.x.x.xx"},
        {KICK: "X..x.....x....o.", SNARE: "........X.......", HAT: "xxx.x.xxx.xxxxx.", OPEN: "..............x."},
    ),
    "breakbeat": (
        {KICK: "X.x.......xx....", SNARE: "....X..g.g..X..g", RIDE: "x.x.x.x.x.x.x.x."},
        {KICK: "X.........x.....", SNARE: "....X..g.g..X.g.", HAT: "x.x.x.x.x.x.x.x."},
        {KICK: "X.x.......x.....", SNARE: "....X..g.g....X.", HAT: "xxx.x.x.xxx.x.x."},
    ),
    "swing": (
        {KICK: "g...g...g...g...", PEDAL: "....x.......x...", RIDE: "X...x.x.X...x.x.", SNARE: "......o.......o."},
        {KICK: "g.......g...g...", PEDAL: "....x.......x...", RIDE: "X...x.x.X.x.x.x.", SNARE: "..g.....g.....g."},
    ),
    "shuffle": (
        {KICK: "X.......x.x.....", SNARE: "....X.......X...", HAT: "X.x.X.x.X.x.X.x."},
        {KICK: "X.....x.x.......", SNARE: "..g.X.g...g.X.g.", RIDE: "X.x.X.x.X.x.X.x."},
    ),
    "bossa": (
        {KICK: "X..xX..xX..xX..x", RIM: "x..x..x...x..x..", HAT: "xgxgxgxgxgxgxgxg"},
        {KICK: "X..xX..xX..xX..x", RIM: "..x...x.x..x..x.", RIDE: "x.x.x.x.x.x.x.x."},
    ),
    "latin": (
        {KICK: "...x..x....x..x.", RIM: "x..x..x...x.x...", BELL: "X.x.xx.xX.xx.xx."},
        {KICK: "X..x..x.X..x..x.", SNARE: "...x..x....x..x.", HAT: "x.xxx.xxx.xxx.xx"},
        {KICK: "X..x..x.X..x..x.", RIM: "..x.x...x..x..x.", 56: "X...x...X...x..."},
    ),
    "one_drop": (
        {KICK: "........X.......", RIM: "........X.......", HAT: "x.x.x.x.x.x.x.x."},
        {KICK: "X...X...X...X...", RIM: "........X.....o.", HAT: "x.xgx.xgx.xgx.xg"},
    ),
    "afro": (
        {KICK: "X...x..x..x.x...", SNARE: "...g..x....x..g.", HAT: "x.xxx.xxx.xxx.xx"},
        {KICK: "X..x....x..x....", RIM: "..x...x.x..x..x.", HAT: "xgxxgxxgxxgxxgxg"},
    ),
    "train": (
        {KICK: "X...x...X...x...", SNARE: "gxgxXxggggxgXxgx"},
        {KICK: "X.......X.......", SNARE: "gggxXgggggxgXggx", PEDAL: "....x.......x..."},
    ),
    "waltz": (
        {KICK: "X...........", SNARE: "....x...x...", HAT: "x...x...x.x."},
        {KICK: "X.........o.", RIDE: "X...x.x.x...", RIM: "....g...x..."},
    ),
    "brush": (
        {KICK: "x.......x.o.....", SNARE: "g.g.x.g.g.g.x.gg"},
        {KICK: "x.....o...x.....", SNARE: "g..gx..gg..gx.g.", PEDAL: "....x.......x..."},
    ),
    "orchestral": (
        {KICK: "X...............", SNARE: "....x.x.....x.xx"},
        {KICK: "X.....x.X.......", 47: "..x.x.....x.x.xx"},
        {KICK: "x...............", CRASH: "o..............."},
    ),
    "six_eight": (
        {KICK: "X.........o.", SNARE: "......X.....", HAT: "X.x.x.X.x.x."},
        {KICK: "X...x.....x.", SNARE: "......X...g.", RIDE: "X.x.x.X.x.x."},
        {KICK: "X.....x.....", RIM: "....x.....x.", HAT: "x.xxx.x.xxx."},
    ),
}

PERCUSSION: tuple[Groove, ...] = (
    {70: "xgxgxgxgxgxgxgxg"},
    {54: "..x...x...x...x."},
    {54: "xgXgxgXgxgXgxgXg"},
    {64: "x..x..x.x..x..x.", 63: "......xx......xx"},
    {62: "x.x..x..x.x..x..", 63: "..x...xx..x...xx"},
    {56: "x...x...x...x..."},
    {75: "x..x..x...x.x..."},
    {69: "x.xxx.xxx.xxx.xx"},
    {67: "x..x....x..x....", 68: "......x...x...x."},
    {60: "..x..x.x..x..x.x", 61: "x..x....x..x...."},
    {82: "xxXxxxXxxxXxxxXx"},
    {81: "x...........o...", 80: "....x..x........"},
    {39: "....x.......x..."},
    {73: "x.......x.......", 76: "..x..x....x..x.."},
)
"""Hand percussion on the drum channel: maracas, tambourine, congas, bongos, cowbell, claves, cabasa, agogo ..."""

FILLS: tuple[str, ...] = (
    "ssssttttTTTTLLLL",
    "s.ss.st.tT.TL.L.",
    "s...s...ssssTTLL",
    "........s.stt.TL",
    "............ssss",
    "s.s.t.t.T.T.L.L.",
    "....s.sst.ttT.LL",
    "........k.sk.sks",
    "ststTLTLststTLTL",
    "..............ss",
)
"""One bar each: s snare, t high tom, T middle tom, L low tom, k kick."""

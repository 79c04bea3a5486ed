{
 "patcher": {
  "fileversion": 1,
  "appversion": {
   "major": 8,
   "minor": 0,
   "revision": 0,
   "architecture": "x64",
   "modernui": 1
  },
  "classnamespace": "box",
  "rect": [
   60.0,
   80.0,
   780.0,
   460.0
  ],
  "openinpresentation": 0,
  "default_fontsize": 12.0,
  "default_fontname": "Arial",
  "boxes": [
   {
    "box": {
     "id": "c1",
     "maxclass": "comment",
     "numinlets": 1,
     "numoutlets": 0,
     "patching_rect": [
      20.0,
      15.0,
      700,
      22.0
     ],
     "text": "VampNet: a loop that is replaced by a variation of itself. In a terminal: vampnet osc --folder FOLDER, where FOLDER is that of this patch, with loop.wav in it."
    }
   },
   {
    "box": {
     "id": "m1",
     "maxclass": "message",
     "numinlets": 2,
     "numoutlets": 1,
     "patching_rect": [
      20.0,
      60.0,
      130,
      22.0
     ],
     "text": "replace loop.wav",
     "outlettype": [
      ""
     ]
    }
   },
   {
    "box": {
     "id": "c2",
     "maxclass": "comment",
     "numinlets": 1,
     "numoutlets": 0,
     "patching_rect": [
      160.0,
      60.0,
      150,
      22.0
     ],
     "text": "1: read the loop"
    }
   },
   {
    "box": {
     "id": "b1",
     "maxclass": "newobj",
     "numinlets": 1,
     "numoutlets": 2,
     "patching_rect": [
      20.0,
      95.0,
      120,
      22.0
     ],
     "outlettype": [
      "float",
      "bang"
     ],
     "text": "buffer~ turn"
    }
   },
   {
    "box": {
     "id": "t1",
     "maxclass": "toggle",
     "numinlets": 1,
     "numoutlets": 1,
     "patching_rect": [
      20.0,
      150.0,
      24,
      22.0
     ],
     "outlettype": [
      ""
     ]
    }
   },
   {
    "box": {
     "id": "c3",
     "maxclass": "comment",
     "numinlets": 1,
     "numoutlets": 0,
     "patching_rect": [
      50.0,
      150.0,
      100,
      22.0
     ],
     "text": "2: play"
    }
   },
   {
    "box": {
     "id": "s1",
     "maxclass": "newobj",
     "numinlets": 1,
     "numoutlets": 1,
     "patching_rect": [
      20.0,
      185.0,
      60,
      22.0
     ],
     "outlettype": [
      "signal"
     ],
     "text": "sig~ 1."
    }
   },
   {
    "box": {
     "id": "g1",
     "maxclass": "newobj",
     "numinlets": 3,
     "numoutlets": 3,
     "patching_rect": [
      20.0,
      260.0,
      140,
      22.0
     ],
     "outlettype": [
      "signal",
      "signal",
      "signal"
     ],
     "text": "groove~ turn 2"
    }
   },
   {
    "box": {
     "id": "m2",
     "maxclass": "message",
     "numinlets": 2,
     "numoutlets": 1,
     "patching_rect": [
      100.0,
      225.0,
      130,
      22.0
     ],
     "text": "loop 1, startloop",
     "outlettype": [
      ""
     ]
    }
   },
   {
    "box": {
     "id": "m6",
     "maxclass": "message",
     "numinlets": 2,
     "numoutlets": 1,
     "patching_rect": [
      240.0,
      225.0,
      50,
      22.0
     ],
     "text": "stop",
     "outlettype": [
      ""
     ]
    }
   },
   {
    "box": {
     "id": "sel",
     "maxclass": "newobj",
     "numinlets": 1,
     "numoutlets": 3,
     "patching_rect": [
      60.0,
      185.0,
      60,
      22.0
     ],
     "outlettype": [
      "bang",
      "bang",
      ""
     ],
     "text": "sel 1 0"
    }
   },
   {
    "box": {
     "id": "d1",
     "maxclass": "newobj",
     "numinlets": 2,
     "numoutlets": 0,
     "patching_rect": [
      20.0,
      310.0,
      60,
      22.0
     ],
     "text": "dac~"
    }
   },
   {
    "box": {
     "id": "e1",
     "maxclass": "newobj",
     "numinlets": 1,
     "numoutlets": 2,
     "patching_rect": [
      180.0,
      290.0,
      60,
      22.0
     ],
     "outlettype": [
      "bang",
      "bang"
     ],
     "text": "edge~"
    }
   },
   {
    "box": {
     "id": "bt",
     "maxclass": "button",
     "numinlets": 1,
     "numoutlets": 1,
     "patching_rect": [
      400.0,
      60.0,
      24,
      22.0
     ],
     "outlettype": [
      ""
     ]
    }
   },
   {
    "box": {
     "id": "c4",
     "maxclass": "comment",
     "numinlets": 1,
     "numoutlets": 0,
     "patching_rect": [
      430.0,
      60.0,
      300,
      22.0
     ],
     "text": "3: a variation, for the next end of the loop"
    }
   },
   {
    "box": {
     "id": "n1",
     "maxclass": "newobj",
     "numinlets": 5,
     "numoutlets": 4,
     "patching_rect": [
      400.0,
      95.0,
      120,
      22.0
     ],
     "outlettype": [
      "int",
      "",
      "",
      "int"
     ],
     "text": "counter 1 100000"
    }
   },
   {
    "box": {
     "id": "m3",
     "maxclass": "message",
     "numinlets": 2,
     "numoutlets": 1,
     "patching_rect": [
      400.0,
      130.0,
      280,
      22.0
     ],
     "text": "/loop $1 loop.wav prompt periodic(7) seed $1",
     "outlettype": [
      ""
     ]
    }
   },
   {
    "box": {
     "id": "u1",
     "maxclass": "newobj",
     "numinlets": 1,
     "numoutlets": 0,
     "patching_rect": [
      400.0,
      165.0,
      160,
      22.0
     ],
     "text": "udpsend 127.0.0.1 8001"
    }
   },
   {
    "box": {
     "id": "u2",
     "maxclass": "newobj",
     "numinlets": 1,
     "numoutlets": 1,
     "patching_rect": [
      400.0,
      210.0,
      120,
      22.0
     ],
     "text": "udpreceive 8003",
     "outlettype": [
      ""
     ]
    }
   },
   {
    "box": {
     "id": "r1",
     "maxclass": "newobj",
     "numinlets": 1,
     "numoutlets": 4,
     "patching_rect": [
      400.0,
      245.0,
      200,
      22.0
     ],
     "outlettype": [
      "",
      "",
      "",
      ""
     ],
     "text": "route /done /progress /error"
    }
   },
   {
    "box": {
     "id": "up",
     "maxclass": "newobj",
     "numinlets": 1,
     "numoutlets": 4,
     "patching_rect": [
      400.0,
      285.0,
      120,
      22.0
     ],
     "outlettype": [
      "int",
      "",
      "int",
      "float"
     ],
     "text": "unpack i s i f"
    }
   },
   {
    "box": {
     "id": "z1",
     "maxclass": "newobj",
     "numinlets": 2,
     "numoutlets": 2,
     "patching_rect": [
      440.0,
      320.0,
      60,
      22.0
     ],
     "outlettype": [
      "",
      ""
     ],
     "text": "zl reg"
    }
   },
   {
    "box": {
     "id": "m4",
     "maxclass": "message",
     "numinlets": 2,
     "numoutlets": 1,
     "patching_rect": [
      440.0,
      355.0,
      90,
      22.0
     ],
     "text": "replace $1",
     "outlettype": [
      ""
     ]
    }
   },
   {
    "box": {
     "id": "p1",
     "maxclass": "newobj",
     "numinlets": 1,
     "numoutlets": 0,
     "patching_rect": [
      540.0,
      285.0,
      110,
      22.0
     ],
     "text": "print progress"
    }
   },
   {
    "box": {
     "id": "p2",
     "maxclass": "newobj",
     "numinlets": 1,
     "numoutlets": 0,
     "patching_rect": [
      660.0,
      285.0,
      90,
      22.0
     ],
     "text": "print error"
    }
   },
   {
    "box": {
     "id": "c5",
     "maxclass": "comment",
     "numinlets": 1,
     "numoutlets": 0,
     "patching_rect": [
      400.0,
      400.0,
      330,
      22.0
     ],
     "text": "The new turn waits in zl reg and is read when groove~ comes to the loop's end. `vampnet live` plays without any gap; see its page."
    }
   }
  ],
  "lines": [
   {
    "patchline": {
     "source": [
      "m1",
      0
     ],
     "destination": [
      "b1",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "t1",
      0
     ],
     "destination": [
      "s1",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "t1",
      0
     ],
     "destination": [
      "sel",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "sel",
      0
     ],
     "destination": [
      "m2",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "sel",
      1
     ],
     "destination": [
      "m6",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "m2",
      0
     ],
     "destination": [
      "g1",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "m6",
      0
     ],
     "destination": [
      "g1",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "s1",
      0
     ],
     "destination": [
      "g1",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "g1",
      0
     ],
     "destination": [
      "d1",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "g1",
      1
     ],
     "destination": [
      "d1",
      1
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "g1",
      2
     ],
     "destination": [
      "e1",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "e1",
      1
     ],
     "destination": [
      "z1",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "bt",
      0
     ],
     "destination": [
      "n1",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "n1",
      0
     ],
     "destination": [
      "m3",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "m3",
      0
     ],
     "destination": [
      "u1",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "u2",
      0
     ],
     "destination": [
      "r1",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "r1",
      0
     ],
     "destination": [
      "up",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "r1",
      1
     ],
     "destination": [
      "p1",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "r1",
      2
     ],
     "destination": [
      "p2",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "up",
      1
     ],
     "destination": [
      "z1",
      1
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "z1",
      0
     ],
     "destination": [
      "m4",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "m4",
      0
     ],
     "destination": [
      "b1",
      0
     ]
    }
   }
  ]
 }
}

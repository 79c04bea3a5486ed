from __future__ import annotations

from vampnet.apps.harp.labels import KEPT, label_list, passages


def result(seconds: float = 10.0, **more: object) -> dict:
    output = {"file": "a.wav", "seed": 3, "seconds": seconds, "kept_share": 0.25, "command": "vampnet vamp a.wav"}
    return {"outputs": [output], **more}


def test_passages_of_each_task() -> None:
    assert passages({"task": "vamp"}, result(), 10.0) == [(0.0, 10.0, False)]
    fill = {"task": "inpaint", "regions": [[6, None], [2, 4], [3, 5]]}
    assert passages(fill, result(), 10.0) == [(0.0, 2, True), (2, 4, False), (4, 5, False), (5, 6, True),
                                              (6, 10.0, False)]  # fmt: skip
    assert passages({"task": "inpaint", "regions": [[2, 40]]}, result(), 10.0)[-1] == (2, 10.0, False)
    both = {"task": "outpaint", "before_s": 1, "after_s": 2}
    assert passages(both, result(), 10.0) == [(0.0, 1.0, False), (1.0, 8.0, True), (8.0, 10.0, False)]


def test_passages_that_a_prompt_keeps_are_told() -> None:
    made = result()
    made["outputs"][0]["kept_s"] = [[2.0, 3.0], [9.0, 10.0]]
    kept = [(0.0, 2.0, False), (2.0, 3.0, True), (3.0, 9.0, False), (9.0, 10.0, True)]
    assert passages({"task": "vamp", "prompt": "keep(2, 3) | keep(9, 10)"}, made, 10.0) == kept


def test_labels_lie_within_the_audio_and_say_how_to_make_it_again() -> None:
    request = {"task": "inpaint", "regions": [[2, 4]]}
    labels = label_list(request, result(facts={"beats_s": [0.5, 1.0, 11.0]}))["labels"]
    assert [(label["label"], label["t"], label["duration"]) for label in labels] == [
        ("kept", 0.0, 2.0), ("generated", 2.0, 2.0), ("kept", 4.0, 6.0), ("beat", 0.5, 0.0), ("beat", 1.0, 0.0),
        ("seed 3, 25% of the tokens kept", 0.0, 0.0),
    ]  # fmt: skip
    assert labels[0]["color"] == KEPT - 2**32
    assert labels[-1]["description"] == "vampnet vamp a.wav"

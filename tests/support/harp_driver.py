"""A client that behaves as HARP does: raw calls, its line parsers, its limits.

`parser="old"` reads streams as HARP 3.0.1: each line is searched for "complete" and "error", and the very next line is
the data. `parser="new"` is that of the newer client, which knows events by their type.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import soundfile

CONTROLS_WITHIN_S = 10.0
LABEL_SLACK_S = 0.05
SIGNED_32 = range(-(2**31), 2**31)


class HarpError(Exception):
    """What HARP shows to its user."""


class HarpDriver:
    """One HARP window on one server."""

    def __init__(self, address: str, *, parser: str = "new", token: str = "") -> None:
        headers = {"Accept": "*/*"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self.base, self._parser = address.rstrip("/"), parser
        self.http = httpx2.Client(headers=headers, timeout=120, follow_redirects=True)
        self.heartbeats = 0

    def close(self) -> None:
        self.http.close()

    def load(self) -> dict[str, Any]:
        """The card and controls, checked as HARP checks them."""
        event_id = self.start("controls", [])
        values = json.loads(self.wait("controls", event_id))
        assert isinstance(values, list)
        description = values[0]
        card = description["card"]
        assert all(isinstance(card[name], str) for name in ("name", "description", "author"))
        assert isinstance(card["tags"], list)
        for control in description["inputs"]:
            _check_control(control)
        assert [output["type"] for output in description["outputs"]] == ["audio_track", "json"]
        return description

    def upload(self, name: str, audio: bytes) -> str:
        """Hand a file over; HARP calls every file MIDI."""
        answer = self.http.post(f"{self.base}/gradio_api/upload", files={"files": (name, audio, "audio/midi")})
        if answer.status_code != 200:
            raise HarpError(answer.text)
        return answer.json()[0]

    def values(self, path: str | None, **changed: Any) -> list[Any]:
        """Values of all controls in their order: floats for numbers, as HARP sends them."""
        found: list[Any] = []
        for control in self.load()["inputs"]:
            if control["type"] == "audio_track":
                found.append(None if path is None else {"path": path, "meta": {"_type": "gradio.FileData"}})
            else:
                value = changed.pop(control["label"], control["value"])
                found.append(float(value) if control["type"] == "slider" else value)
        assert not changed, f"no such controls: {list(changed)}"
        return found

    def start(self, name: str, values: list[Any]) -> str:
        """Begin a call; its event id."""
        answer = self.http.post(
            f"{self.base}/gradio_api/call/{name}",
            content=json.dumps({"data": values}),
            headers={"Content-Type": "application/json"},
            timeout=CONTROLS_WITHIN_S if name == "controls" else 120,
        )
        assert answer.status_code == 200, answer.text
        event_id = answer.json()["event_id"]
        assert isinstance(event_id, str)
        return event_id

    def lines(self, name: str, event_id: str) -> Iterator[str]:
        """Lines of a call's stream."""
        with self.http.stream("GET", f"{self.base}/gradio_api/call/{name}/{event_id}") as stream:
            assert stream.status_code == 200
            yield from stream.iter_lines()

    def wait(self, name: str, event_id: str) -> str:
        """Data of a call that has ended well. Raises HarpError with what the user sees."""
        kind, data = (self._old if self._parser == "old" else self._new)(self.lines(name, event_id))
        if kind == "complete":
            return data
        if data == "null":
            raise HarpError("Your ZeroGPU quota has been reached")  # what HARP 3.0.1 makes of an empty error
        payload = json.loads(data)
        raise HarpError(f"{payload['title']}: {payload['error']}")

    def process(self, values: list[Any]) -> tuple[bytes, str, list[dict[str, Any]]]:
        """Run the model: the output's bytes, its name and the labels, checked as HARP's own validator does."""
        data = json.loads(self.wait("process", self.start("process", values)))
        assert len(data) == 2 and all("meta" in entry for entry in data)
        file, labels = data
        assert file["meta"] == {"_type": "gradio.FileData"}
        assert labels["meta"] == {"_type": "pyharp.LabelList"}
        assert file["url"].isascii() and " " not in file["url"], "JUCE takes no other address"
        answer = self.http.get(file["url"])
        assert answer.status_code == 200 and answer.content
        seconds = soundfile.info(io.BytesIO(answer.content)).duration
        for label in labels["labels"]:
            _check_label(label, seconds)
        return answer.content, httpx2.URL(file["url"]).path.rsplit("/", 1)[-1], labels["labels"]

    def cancel(self) -> None:
        """Cancel, as the button does: nothing says which run is meant."""
        assert json.loads(self.wait("cancel", self.start("cancel", []))) == []

    def _old(self, lines: Iterator[str]) -> tuple[str, str]:
        for line in lines:
            for kind in ("complete", "error"):
                if kind in line:
                    return kind, next(lines).split("data:", 1)[1].strip()
            self.heartbeats += "heartbeat" in line
        raise HarpError("incomplete response")

    def _new(self, lines: Iterator[str]) -> tuple[str, str]:
        kind = ""
        for line in lines:
            if line.startswith("event:"):
                kind = line[6:].strip()
                self.heartbeats += kind == "heartbeat"
                assert kind in ("heartbeat", "complete", "error"), kind
            elif line.startswith("data:") and kind in ("complete", "error"):
                return kind, line[5:].strip()
        raise HarpError("incomplete response")


def _check_control(control: dict[str, Any]) -> None:
    assert isinstance(control["label"], str) and "info" in control
    kind = control["type"]
    if kind == "audio_track":
        assert isinstance(control["required"], bool)
    elif kind == "slider":
        assert control["minimum"] <= control["value"] <= control["maximum"] and control["step"] > 0
    elif kind == "text_box":
        assert isinstance(control["value"], str)
    elif kind == "toggle":
        assert isinstance(control["value"], bool)
    elif kind == "dropdown":
        assert all(label == value for label, value in control["choices"])
        assert control["value"] in [value for _, value in control["choices"]]
    else:
        raise HarpError(f"UnsupportedControl {kind}")


def _check_label(label: dict[str, Any], seconds: float) -> None:
    assert label["label_type"] in ("AudioLabel", "SpectrogramLabel", "MidiLabel", "OutputLabel")
    assert isinstance(label["label"], str) and label["t"] >= 0 and label["duration"] >= 0
    assert label["t"] + label["duration"] <= seconds + LABEL_SLACK_S
    assert label["color"] in SIGNED_32
    assert label["description"] is None or isinstance(label["description"], str)
    assert label["link"] is None

"""The HARP contract on real gradio, as judge of our own routes and of the driver: `python gradio_app.py PORT`."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr

from vampnet.apps.harp.controls import INPUTS, controls
from vampnet.apps.harp.labels import label_list


def process(audio: str, *values: Any) -> tuple[str, dict[str, Any]]:
    """Hand the input back, or fail if the prompt says so."""
    if values[1] == "fail":
        raise gr.Error("the file is too short", title="Cannot vamp")
    time.sleep(0.1)
    output = {"file": "a.wav", "seed": 7, "seconds": 0.5, "kept_share": 0.5, "command": "vampnet vamp a.wav"}
    return audio, label_list({"task": "vamp"}, {"outputs": [output]})


def component(control: dict[str, Any]) -> Any:
    """Gradio's component of a control."""
    label, value = control["label"], control.get("value")
    if control["type"] == "audio_track":
        return gr.Audio(type="filepath", label=label)
    if control["type"] == "slider":
        return gr.Slider(control["minimum"], control["maximum"], value=value, step=control["step"], label=label)
    if control["type"] == "dropdown":
        return gr.Dropdown([choice for _, choice in control["choices"]], value=value, label=label)
    if control["type"] == "toggle":
        return gr.Checkbox(value=bool(value), label=label)
    return gr.Textbox(value=value, label=label)


def main() -> None:
    """Serve until killed."""
    with gr.Blocks() as demo:
        inputs = [component(control) for control in INPUTS]
        outputs = [gr.Audio(type="filepath", label="Output"), gr.JSON(label="Labels")]
        document = gr.JSON()
        gr.Button("controls").click(controls, [], document, api_name="controls")
        run = gr.Button("process").click(process, inputs, outputs, api_name="process")
        gr.Button("cancel").click(lambda: None, [], [], api_name="cancel", cancels=[run])
    demo.queue().launch(server_name="127.0.0.1", server_port=int(sys.argv[1]), show_error=True, quiet=True)


if __name__ == "__main__":
    main()

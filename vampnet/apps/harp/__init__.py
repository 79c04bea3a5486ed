"""HARP endpoint: the routes by which the HARP plug-in host (TEAMuP) uses VampNet from a DAW, without gradio."""

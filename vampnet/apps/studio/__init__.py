"""The studio: a page where musicians vary, fill and extend recordings, on top of the server."""

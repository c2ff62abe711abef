"""Names that a front and the WebRTC door share. Imports nothing, so that a front needs no aiortc."""

SOURCE_HEADER = "X-Crosstalk-Source"
"""The client's address, from the front that passes its requests on."""

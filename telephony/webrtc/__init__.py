"""The WebRTC door: peers of browsers, their media, and the process that carries them."""

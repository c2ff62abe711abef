"""Two-channel conversations with exact labels: a script is drawn, performed on tracks, and labelled from the tracks."""

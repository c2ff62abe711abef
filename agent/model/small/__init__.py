"""Crosstalk-small: our own full-duplex interaction model. What serving and training share."""

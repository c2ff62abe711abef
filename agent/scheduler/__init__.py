"""The engine's pure core: rows, floor, speech buffers, plan / step / commit."""

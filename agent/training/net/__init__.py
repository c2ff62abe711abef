"""The nets in torch: training only. Serving runs their ONNX export (``agent.model.small``)."""

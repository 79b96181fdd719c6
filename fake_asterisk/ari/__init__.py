"""The fake PBX's REST interface (ARI) on the same channels and bridges as its AMI: HTTP, WebSocket, Stasis."""

"""The AMI driver: bytes of an Asterisk Manager Interface in, typed call events out; typed actions in, AMI actions out.

`codec` frames, `transport` borrows panoramisk's connection, `client` keeps one link alive, `translate` and `modes` know
what Asterisk means, `driver` is the port the engine sees. Nothing here decides anything about a call.
"""

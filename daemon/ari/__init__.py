"""The second PBX driver: Asterisk's REST interface (ARI) behind the port that the AMI driver serves too.

`driver` keeps the link and delivers events, `perform` does what the engine asks, `translate` says what events mean,
`client` speaks HTTP and WebSocket. Facts: FIELD-NOTES 9, and what tests/asterisk sees.
"""

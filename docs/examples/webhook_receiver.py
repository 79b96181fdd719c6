"""A receiver of Cadran's webhooks, standard library only: checks the signature, drops repetitions, answers fast.

Run: CADRAN_WEBHOOK_SECRET=whsec_... python webhook_receiver.py 8080
"""

import base64
import datetime
import hashlib
import hmac
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

SECRET = base64.b64decode(os.environ["CADRAN_WEBHOOK_SECRET"].removeprefix("whsec_"))
TOLERANCE_S = 300
seen: set[str] = set()


def verified(headers: dict[str, str], body: bytes) -> bool:
    """Whether we may believe it: signed with our secret, and not an old message sent again by somebody else."""
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    now = datetime.datetime.now(datetime.UTC).timestamp()
    if not timestamp.isdigit() or abs(now - int(timestamp)) > TOLERANCE_S:
        return False
    signed = f"{message_id}.{timestamp}.".encode() + body
    expected = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
    # During a rotation there are two signatures; one of them is enough.
    given = [
        each.removeprefix("v1,") for each in headers.get("webhook-signature", "").split() if each.startswith("v1,")
    ]
    return any(hmac.compare_digest(each, expected) for each in given)


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 for what it took, 401 for what it does not believe."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        if not verified(headers, body):
            self.send_response(401)
            self.end_headers()
            return
        if headers["webhook-id"] not in seen:  # a retry of what we have already
            seen.add(headers["webhook-id"])
            event = json.loads(body)
            sys.stdout.write(f"{event['type']} {event['data'].get('call_id', '')}\n")  # here: a queue of your own
            sys.stdout.flush()
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """No line for each request."""


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()

"""Click-to-call from Python, standard library only.

Run: CADRAN_URL=http://127.0.0.1:8098 CADRAN_TOKEN=clicsipx_... python click2call.py 0199000123
"""

import json
import os
import sys
import urllib.error
import urllib.request


def click2call(number: str, url: str, token: str) -> dict[str, object]:
    """Ring a phone of the pool, then dial `number`; the answer, or the refusal with its reason."""
    request = urllib.request.Request(
        f"{url}/api/public/click2call",
        data=json.dumps({"number_to_call": number}).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return dict(json.load(response))
    except urllib.error.HTTPError as error:
        with error:
            return dict(json.load(error))


if __name__ == "__main__":
    result = click2call(sys.argv[1], os.environ["CADRAN_URL"], os.environ["CADRAN_TOKEN"])
    sys.stdout.write(json.dumps(result, ensure_ascii=False) + "\n")
    sys.exit(0 if result["success"] else 1)

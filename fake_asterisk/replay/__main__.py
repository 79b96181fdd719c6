"""`python -m fake_asterisk.replay`: replay recordings against the fake, or against a server that runs elsewhere."""

import sys

from fake_asterisk.replay.cli import main

if __name__ == "__main__":
    sys.exit(main())

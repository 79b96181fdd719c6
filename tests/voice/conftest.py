"""The API's fixtures serve here too."""

from tests.api.conftest import client, serve, world

__all__ = ["client", "serve", "world"]

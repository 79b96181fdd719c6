"""The dialplan applications of the fake PBX, and how they are called."""

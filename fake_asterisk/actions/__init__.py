"""The AMI actions."""

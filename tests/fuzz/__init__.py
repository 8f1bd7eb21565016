"""The gateway under whatever a client can send. `pytest tests/fuzz --hypothesis-profile=long` looks
far longer."""

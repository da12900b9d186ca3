"""The translator: pure PyTorch, one module a stage from frames to sentences; knows nothing of the service."""

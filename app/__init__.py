"""The service: video in over the network, captions out. It holds no networks itself; see `models`."""

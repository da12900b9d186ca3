"""The engine: worker processes that own a translator each, and the server's side of them."""

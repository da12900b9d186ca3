"""signbind bench: what a server carries on this machine, measured from outside, over real WebSockets."""

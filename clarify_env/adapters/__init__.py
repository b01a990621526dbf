"""Our games in other people's trainers and servers: one module a peer, each with an extra of its own.

Nothing else of this package imports them.
"""

//! What survives a restart: groups of series and blocks of their chunks, in sled.

"""Plan of a run before it is begun: its size, and the memory and the time that it will take on this machine."""

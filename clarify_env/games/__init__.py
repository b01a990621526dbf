"""Games: pure state machines, one file each."""

"""Words of the workshop: machines, complaints, causes, findings with their values, and words that ask for them."""

MACHINES = "mill press lathe pump crane oven saw loom drill kiln".split()
COMPLAINTS = ("has stopped", "runs slowly", "shakes", "overheats", "leaks", "trips")

CAUSES = "fuse belt valve cable motor filter switch gear".split()

# Values of each finding: two, the one that is not listed being the other.
FINDINGS = {
    "noise": ("loud", "quiet"),
    "smell": ("burnt", "sweet"),
    "lamp": ("red", "green"),
    "floor": ("wet", "dry"),
}
# Words by which a question asks for a finding, its values among them.
_NAMES = {
    "noise": ("noise", "noises", "noisy", "sound", "sounds", "hear"),
    "smell": ("smell", "smells", "odor", "odour", "scent"),
    "lamp": ("lamp", "light", "indicator", "led"),
    "floor": ("floor", "ground", "below", "underneath"),
}
CUES = {name: (*names, *FINDINGS[name]) for name, names in _NAMES.items()}

# Shares of the causes in 100 cases, of 2, 3 and 4 causes: whole tens, so that the counts of a page are whole numbers.
PRIORS = {
    2: ((50, 50), (80, 20), (90, 10)),
    3: ((40, 30, 30), (40, 40, 20), (80, 10, 10)),
    4: ((30, 30, 20, 20), (40, 40, 10, 10), (70, 10, 10, 10)),
}

"""How far training goes to keep a device busy: what trying a pack (trial.py) and planning one (croco/jobs/capacity.py) share."""

RESERVE = 0.05  # share of the free memory that is left to fragmentation and the optimiser
LEAST = 2048  # tokens: of smaller packs the device is not busy, and computing activations again costs less

"""What comes from and goes to other houses: the hub, other trainers' formats, the authors' files."""

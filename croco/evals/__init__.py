"""What is measured on a trained policy, and on what it is compared with."""

"""The paper's claims put to the test on the embedded world, whose grader knows the truth: `make study`."""

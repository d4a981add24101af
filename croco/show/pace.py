"""How fast counted work goes, and how long it will still take: by rows, or by tokens where rows take as long as they are long."""

from __future__ import annotations

import math
import time
from collections import deque

WINDOW = 60.0  # seconds that a rate of tokens looks back


class Pace:
    """Of `rows` that are to be made, from now on.

    Rows that are written side by side end together, late: a rate of ended rows says nothing for minutes, and then too much.
    Tokens come evenly. How many will come is the number of rows times a row's expected length, which the rows that are not
    over count in as well: with a chance h of ending at each token, (1 - exp(-h L)) / h of at most L tokens; h is the number of
    rows that have ended by themselves over all tokens written so far, its maximum-likelihood estimate.
    """

    def __init__(self, rows: int, longest: int | None = None) -> None:
        """`longest` is how many tokens a row may have."""
        self.rows, self.longest = rows, longest
        self.made = self.tokens = 0
        self._elsewhere = self._ended = 0
        self._told = False
        self._started = time.monotonic()
        self._seen = deque([(self._started, 0)])  # (time, tokens by then)

    def written(self, tokens: int) -> None:
        """So many tokens of rows that are not over; the first call starts the clock, behind whatever had to be loaded."""
        self.tokens += tokens
        if not self._told:
            self._told = True
            self._seen = deque([(time.monotonic(), self.tokens)])
        self._look()

    def advance(self, count: int, tokens: int) -> None:
        """So many rows are over; no tokens are told of rows that others have made."""
        self.made += count
        self._elsewhere += 0 if tokens else count
        self._ended += count if self.longest is None or tokens < self.longest * count else 0
        if not self._told:
            self.tokens += tokens
            self._look()

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._seen[-1][0] >= 1:
            self._seen.append((now, self.tokens))
            while len(self._seen) > 2 and now - self._seen[1][0] > WINDOW:
                self._seen.popleft()

    @property
    def each(self) -> float:
        """Rows per second."""
        return self.made / max(time.monotonic() - self._started, 1e-9)

    @property
    def rate(self) -> float:
        """Tokens per second; 0 before the first."""
        since, before = self._seen[0]
        return (self.tokens - before) / max(time.monotonic() - since, 1e-9)

    @property
    def left(self) -> float | None:
        """Seconds for what is left; None before there is a rate."""
        if self.rate and not self._elsewhere:
            return max(self.rows * self._length() - self.tokens, 0) / self.rate if self.made < self.rows else 0.0
        return max(self.rows - self.made, 0) / self.each if self.made else None

    def _length(self) -> float:
        """Tokens that a row is expected to have."""
        if not self._ended:
            return float(self.longest or self.tokens / max(self.made, 1))
        chance = self._ended / self.tokens
        return (1 - math.exp(-chance * self.longest)) / chance if self.longest else 1 / chance

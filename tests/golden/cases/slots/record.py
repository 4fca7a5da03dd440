# golden: add-after "mean.add(value)" flor.log("probe", [i, mean.n, mean.value, mean.extrema.low])
# golden: query SELECT i, probe FROM logs WHERE i IN (4, 8)
"""Objects with __slots__, one of them inherited and one unset at first."""
from flor.runtime import abi as flor_abi
import flor


class Extrema:
    __slots__ = ("high", "low")

    def __init__(self):
        self.low = float("inf")  # high is set when there is one


class Mean:
    __slots__ = ("n", "value")

    def __init__(self):
        self.n = 0
        self.value = 0.0

    def add(self, x):
        self.n += 1
        self.value += (x - self.value) / self.n


class Tracked(Mean):
    __slots__ = ("extrema",)

    def __init__(self):
        super().__init__()
        self.extrema = Extrema()

    def add(self, x):
        super().add(x)
        self.extrema.low = min(self.extrema.low, x)
        if x > 1.5:
            self.extrema.high = max(getattr(self.extrema, "high", x), x)


mean = Tracked()
value = 1.0
for i in flor_abi.loop("i", range(10), state=("value", "mean.n", "mean.value", "mean.extrema.low", "mean.extrema.high")):
    value = (value * 1.7 + i) % 3.1
    mean.add(value)
    flor.log("mean", mean.value)
print(mean.n, f"{mean.value:.6f} {mean.extrema.low:.6f} {mean.extrema.high:.6f}")

# golden: add-before "flor.log("level", meter.level)" flor.log("probe", [k, meter.level, dict(meter.by_key), meter.depth, meter.scaled])
# golden: query SELECT k, probe FROM logs WHERE k IN (3, 6)
"""State that changes through operators, properties and context managers."""
from flor.runtime import abi as flor_abi
import flor


class Meter:
    def __init__(self):
        self.level = 1.0
        self.by_key = {}
        self.depth = 0
        self._scale = 1

    def __iadd__(self, amount):
        self.level += amount
        return self

    def __setitem__(self, key, value):
        self.by_key[key] = value

    def __enter__(self):
        self.depth += 1
        return self

    def __exit__(self, *exc):
        self.depth += 10

    def __call__(self, factor):
        self.level *= factor

    @property
    def scaled(self):
        return self.level * self._scale

    @scaled.setter
    def scaled(self, value):
        self._scale = value


meter = Meter()
for k in flor_abi.loop("k", range(8), state=("meter",)):
    meter += k
    meter[k % 3] = meter.scaled
    with meter as m:
        m(0.75)
    meter.scaled = k % 4
    flor.log("level", meter.level)
print(meter.level, meter.by_key, meter.depth, meter.scaled)

# golden: add-after "runner.run(k)" flor.log("probe", [k, seen, remember.calls, Runner.total, runner.total, Base.total])
# golden: query SELECT k, probe FROM logs WHERE k IN (3, 6)
"""State on classes, on functions and in default arguments."""
from flor.runtime import abi as flor_abi
import flor


def remember(k, memory=[]):
    if k not in memory:
        memory.append(k)
        remember.calls += 1
    return list(memory)


remember.calls = 0


class Base:
    total = 0

    def run(self, k):
        type(self).total += k
        Base.total -= 1


class Runner(Base):
    pass


runner = Runner()
for k in flor_abi.loop("k", range(8), state=("remember.calls", "Base.total", "Runner.total", "remember.__defaults__")):
    seen = remember(k)
    runner.run(k)
    flor.log("seen", len(seen))
print(remember.calls, Runner.total, Base.total)

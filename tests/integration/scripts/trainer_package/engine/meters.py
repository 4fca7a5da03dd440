import sys


class AverageMeter:
    """Running average of a loss."""

    __slots__ = ("name", "total", "count", "last")

    def __init__(self, name):
        self.name = name
        self.reset()

    def reset(self):
        self.total, self.count, self.last = 0.0, 0, None

    def update(self, value, n=1):
        self.total += value * n
        self.count += n
        self.last = value

    @property
    def avg(self):
        return self.total / max(1, self.count)


class Progress:
    """What we need of tqdm where it isn't installed."""

    def __init__(self, iterable, desc="", total=None):
        self.iterable, self.desc = iterable, desc
        self.n = 0

    def __iter__(self):
        for item in self.iterable:
            yield item
            self.n += 1
        print(f"{self.desc}: {self.n} it", file=sys.stderr)

    def set_postfix(self, **kw):
        pass

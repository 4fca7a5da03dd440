"""What is trained, and a counter that the module keeps."""

calls = 0


class Config:
    def __init__(self, steps, seed):
        self.steps = steps
        self.seed = seed


class State:
    def __init__(self):
        self.value = 1.0
        self.updates = 0
        self.trace = []

    def apply(self, amount):
        global calls
        calls += 1
        self.value += amount / calls
        self.updates += 1
        self.trace.append(self.value)

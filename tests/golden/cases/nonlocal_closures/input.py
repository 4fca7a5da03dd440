# golden: add-after "loss = step(k)" flor.log("probe", [k, loss, report()])
# golden: query SELECT k, probe FROM logs WHERE k IN (4, 8)
"""State in closure cells that nested functions rebind."""
import flor


def make_optimizer(rate):
    velocity = 0.0
    count = 0

    def update(x, grad):
        nonlocal velocity, count
        velocity = 0.8 * velocity + grad
        count += 1
        return x - rate * velocity

    def report():
        return [count, velocity]

    return update, report


def train():
    x = 5.0
    update, report = make_optimizer(0.05)

    def step(k):
        nonlocal x
        grad = 2 * (x - 1) + 0.1 * k
        x = update(x, grad)
        return (x - 1) ** 2

    for k in range(10):
        loss = step(k)
        flor.log("loss", loss)
    return x, report()


print(train())

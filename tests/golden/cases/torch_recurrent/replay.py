# golden: add-after "hidden = hidden.detach()" flor.log("probe", [epoch, t, hidden[0, 0, 0].item()])
# golden: query SELECT epoch, t, probe FROM logs WHERE epoch = 2 AND t > 2
"""A hidden state that is carried from one window to the next, and two optimizers."""
from flor.runtime import abi as flor_abi
import torch
from torch import nn

import flor


def windows(series, size):
    for start in range(0, len(series) - size, size):
        yield series[start : start + size], series[start + 1 : start + size + 1]


def main():
    torch.manual_seed(5)
    series = torch.sin(torch.arange(26) * 0.7)
    rnn, head = nn.GRU(1, 4), nn.Linear(4, 1)
    fast = torch.optim.SGD(head.parameters(), lr=0.1)
    slow = torch.optim.Adagrad(rnn.parameters(), lr=0.02)
    hidden = torch.zeros(1, 1, 4)
    for epoch in flor_abi.loop("epoch", range(3), state=("hidden", "rnn", "head", "fast", "slow")):
        for t, (x, y) in flor_abi.loop("t", enumerate(windows(series, 5)), state=("hidden", "loss", "rnn", "head", "fast", "slow")):
            states, hidden = rnn(x.view(-1, 1, 1), hidden)
            hidden = hidden.detach()
            loss = (head(states).view(-1) - y).pow(2).mean()
            for optimizer in (fast, slow):
                optimizer.zero_grad()
            loss.backward()
            fast.step()
            if t % 2:
                slow.step()
            flor.log("loss", loss.item())
        print(epoch, f"{loss.item():.6f}")


main()

# golden: add-after "loss.backward()" flor.log("probe", [float(n.weight.grad.abs().sum()) for n in nets])
# golden: query SELECT epoch, probe FROM logs WHERE epoch IN (2, 4)
"""Only one of two models has its gradients cleared; the other's add up over the iterations."""
from flor.runtime import abi as flor_abi
import torch

import flor

torch.manual_seed(0)
nets = [torch.nn.Linear(3, 1) for _ in range(2)]
opts = [torch.optim.SGD(n.parameters(), lr=0.01) for n in nets]
x = torch.randn(4, 3)
for epoch in flor_abi.loop("epoch", range(6), state=("nets", "opts")):
    opts[0].zero_grad()
    loss = sum(n(x).pow(2).mean() for n in nets)
    loss.backward()
    for o in opts:
        o.step()
    flor.log("loss", loss.item())
print([n.weight.tolist() for n in nets])

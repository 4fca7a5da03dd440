# golden: add-before "if (k + 1) % 2 == 0:" flor.log("probe", [k, weights[0].grad[0].item(), first.data[0].item()])
# golden: query SELECT k, probe FROM logs WHERE k IN (5, 9)
"""No optimizer: gradients gathered over two steps (so they are live at the head), .data updates."""
import torch

import flor

torch.manual_seed(4)
weights = [torch.randn(3, requires_grad=True), torch.zeros(1, requires_grad=True)]
first = weights[0]
velocity = [torch.zeros_like(p) for p in weights]
for k in range(11):
    x = torch.randn(3)
    loss = ((weights[0] * x).sum() + weights[1] - x[0]).pow(2).sum()
    loss.backward()
    if (k + 1) % 2 == 0:
        for p, v in zip(weights, velocity):
            v.mul_(0.5).add_(p.grad)
            p.data -= 0.05 * v
            p.grad = None
    flor.log("loss", loss.item())
print([round(v, 6) for v in first.tolist()], f"{weights[1].item():.6f}")

# golden: add-after "scaler_like *= 1.01" flor.log("probe", [step, passes, x[0].item(), loss.item()])
# golden: query SELECT step, probe FROM logs WHERE step IN (4, 9)
"""Steps, not epochs: an iterator of a shuffling loader that is made again when it ends."""
from flor.runtime import abi as flor_abi
import torch
from torch.utils.data import DataLoader

import flor

torch.manual_seed(3)
loader = DataLoader(torch.arange(10.0), batch_size=4, shuffle=True)
w = torch.zeros(1, requires_grad=True)
optimizer = torch.optim.RMSprop([w], lr=0.05)
batches = flor_abi.iterator(iter)(loader)
passes, step, scaler_like = 0, 0, 1.0
flor_step = flor_abi.while_loop("step", state=("passes", "batches", "scaler_like", "step", "w", "optimizer"))
while flor_step.head() and True:
    try:
        x = next(batches)
    except StopIteration:
        passes += 1
        batches = flor_abi.iterator(iter)(loader)
        x = next(batches)
    loss = ((w * x - 2 * x) ** 2).mean() * scaler_like
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scaler_like *= 1.01
    flor.log("loss", loss.item())
    step += 1
    if step >= 11:
        break
flor_step.end()
print(passes, f"{w.item():.6f}")

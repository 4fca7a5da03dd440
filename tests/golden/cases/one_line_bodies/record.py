# golden: add-before "a = [v * 0.5 for v in a]; b += sum(a)" flor.log("probe", [e, a[0], b])
# golden: query SELECT e, probe FROM logs WHERE e IN (2, 4)
from flor.runtime import abi as flor_abi
import flor; a = [1.0, 2.0]; b = 0.0; c = 0
for e in flor_abi.loop("e", range(6), state=("a", "b", "c")):
    a = [v * 0.5 for v in a]; b += sum(a)
    for i in flor_abi.loop("i", range(2), state=("a",)): a[i] += e
    flor_c = flor_abi.while_loop("c", state=("c",))
    while flor_c.head() and (c < e): c += 1; flor.log("count", c)
    flor_c.end()
    if e % 2: b -= 1
for e2 in flor_abi.loop("e2", range(3), state=("b",)): b *= 1.5; flor.log("b", b)
print(a, b, c)

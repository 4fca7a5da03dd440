# golden: add-before "a = [v * 0.5 for v in a]; b += sum(a)" flor.log("probe", [e, a[0], b])
# golden: query SELECT e, probe FROM logs WHERE e IN (2, 4)
import flor; a = [1.0, 2.0]; b = 0.0; c = 0
for e in range(6):
    a = [v * 0.5 for v in a]; b += sum(a)
    for i in range(2): a[i] += e
    while c < e: c += 1; flor.log("count", c)
    if e % 2: b -= 1
for e2 in range(3): b *= 1.5; flor.log("b", b)
print(a, b, c)

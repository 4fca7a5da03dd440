# golden: add-after "raw.write(bytes([k]))" flor.log("probe", [k, log.getvalue(), raw.tell()])
# golden: query SELECT k, probe FROM logs WHERE k IN (3, 6)
"""Buffers in memory that the loop writes to."""
import io

import flor

log, raw = io.StringIO(), io.BytesIO(b"head")
raw.seek(0, io.SEEK_END)
for k in range(8):
    log.write(f"{k};")
    raw.write(bytes([k]))
    flor.log("size", raw.tell())
print(log.getvalue(), raw.getvalue())

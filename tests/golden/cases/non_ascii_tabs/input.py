# golden: add-after "größe *= faktor" flor.log("probe", [schritt, größe, "é"])
# golden: query SELECT schritt, probe FROM logs WHERE schritt IN (2, 4)
"""Non-ASCII names and text, tabs, and a form feed."""
import flor

größe, faktor = 1.0, 1.1
π = {"é": [], "日本": 0}

def wachse(x, ü="→"):
	global größe
	größe += x; π["日本"] += len(ü)
	return größe

for schritt, é in enumerate("äöüßéà"): # ← Schleife
	größe *= faktor
	if schritt % 2:
		π["é"].append(é)
	else:
		wachse(schritt)
	flor.log("größe", größe)
print(f"{größe:.6f}", π)

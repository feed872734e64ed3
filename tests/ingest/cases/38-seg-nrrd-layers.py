from kit import *

# Slicer segmentations with overlapping segments: 4-D, first axis "list" (two layers), space
# directions: none first.
import SimpleITK as sitk, nrrd
fresh()
(DATA / "images").mkdir(); (DATA / "labels").mkdir()
rng = np.random.default_rng(5)
lines = ["image,label,patient"]
for k in range(3):
    vol = (rng.normal(0, 20, (8, 24, 24)) + 40).astype(np.int16); vol[:, :2] = -1000
    im = sitk.GetImageFromArray(vol); im.SetSpacing((2, 2, 3)); sitk.WriteImage(im, str(DATA / "images" / f"c{k}.nrrd"))
    L = np.zeros((2, 24, 24, 8), np.uint8)
    L[0, 4:20, 4:20, 1:7] = 1; L[1, 10:14, 10:14, 3:5] = 1
    h = {"space": "left-posterior-superior", "space directions": np.array([[np.nan] * 3, [2, 0, 0], [0, 2, 0], [0, 0, 3]]), "space origin": [0, 0, 0], "kinds": ["list", "domain", "domain", "domain"], "encoding": "gzip"}
    for s, (name, layer) in enumerate([("liver", 0), ("tumour", 1)]):
        h[f"Segment{s}_Name"] = name; h[f"Segment{s}_LabelValue"] = "1"; h[f"Segment{s}_Layer"] = str(layer)
    nrrd.write(str(DATA / "labels" / f"c{k}.seg.nrrd"), L, h)
    lines.append(f"images/c{k}.nrrd,labels/c{k}.seg.nrrd,p{k}")
(DATA / "cohort.csv").write_text("\n".join(lines) + "\n")

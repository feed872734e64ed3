from kit import *

# Slicer segmentations (.seg.nrrd): the segments' names are the meaning, LabelValue is per file. In
# half of the files liver is 1 and tumour 2, in the other half the reverse (the reader deleted and
# added a segment). Right: liver is one label throughout, or a refusal / finding.
import SimpleITK as sitk, nrrd
fresh()
(DATA / "images").mkdir(); (DATA / "labels").mkdir()
rng = np.random.default_rng(5)
lines = ["image,label,patient"]
for k in range(8):
    vol = (rng.normal(0, 20, (8, 24, 24)) + 40).astype(np.int16); vol[:, :2] = -1000
    im = sitk.GetImageFromArray(vol); im.SetSpacing((2, 2, 3)); sitk.WriteImage(im, str(DATA / "images" / f"c{k}.nrrd"))
    L = np.zeros((24, 24, 8), np.uint8)
    swap = k % 2
    L[4:20, 4:20, 1:7] = 2 if swap else 1      # the liver, large
    L[10:14, 10:14, 3:5] = 1 if swap else 2    # the tumour, small
    h = {"space": "left-posterior-superior", "space directions": [[2, 0, 0], [0, 2, 0], [0, 0, 3]], "space origin": [0, 0, 0], "kinds": ["domain"] * 3, "encoding": "gzip",
         "Segmentation_ContainedRepresentationNames": "Binary labelmap|Closed surface|", "Segmentation_ReferenceImageExtentOffset": "0 0 0"}
    for s, (name, value) in enumerate([("liver", 2 if swap else 1), ("tumour", 1 if swap else 2)]):
        h[f"Segment{s}_ID"] = f"Segment_{s + 1}"; h[f"Segment{s}_Name"] = name; h[f"Segment{s}_LabelValue"] = str(value); h[f"Segment{s}_Layer"] = "0"
    nrrd.write(str(DATA / "labels" / f"c{k}.seg.nrrd"), L, h)
    lines.append(f"images/c{k}.nrrd,labels/c{k}.seg.nrrd,p{k}")
(DATA / "cohort.csv").write_text("\n".join(lines) + "\n")

from kit import *

# MetaImage: as most write it, with lines that end as those of DOS do; voxels written as text; two
# axes; an origin that is no number.
fresh()
(DATA / "images").mkdir(), (DATA / "labels").mkdir()
usual = {"NDims": "3", "BinaryData": "True", "DimSize": "16 12 8", "ElementSpacing": "2 2 3", "TransformMatrix": "1 0 0 0 1 0 0 0 1", "Offset": "0 0 0"}
flat = {"NDims": "2", "DimSize": "16 96", "ElementSpacing": "2 2", "TransformMatrix": "1 0 0 1", "Offset": "0 0"}
for k, other in enumerate([{}, {"end": "\r\n"}, {"BinaryData": "False"}, flat, {"Offset": "0 nan 0"}]):
    voxels = np.stack([texture(n, low=10000) for n in range(8)]).astype("<i2") + k
    mask = box(voxels.shape, 4, 9, 3, 7, [2, 3, 4]).astype(np.uint8)
    for folder, v, kind in (("images", voxels, "MET_SHORT"), ("labels", mask, "MET_UCHAR")):
        fields = {"ObjectType": "Image", **usual, **{a: b for a, b in other.items() if a != "end" and folder == "images"}, "ElementType": kind, "ElementDataFile": "LOCAL"}
        data = " ".join(map(str, v.ravel())).encode() if fields["BinaryData"] == "False" else v.tobytes()
        lines = "".join(f"{a} = {b}" + other.get("end", "\n") for a, b in fields.items())
        (DATA / folder / f"c{k}.mha").write_bytes(lines.encode() + data)

from kit import *

# NRRD headers: vectors with blanks behind the commas; a dimension that is not the number of sizes;
# no byte order; voxels that are not there.
fresh()
(DATA / "images").mkdir(), (DATA / "labels").mkdir()
usual = {"type": "short", "dimension": "3", "space": "left-posterior-superior", "sizes": "16 12 8", "space directions": "(2,0,0) (0,2,0) (0,0,3)", "endian": "little", "encoding": "raw", "space origin": "(0,0,0)"}
for k, other in enumerate([{}, {"space directions": "(2, 0, 0) (0, 2, 0) (0, 0, 3)", "space origin": "( 0, 0, 0 )"}, {"dimension": "4"}, {"endian": None}, {"data file": "c3.raw"}]):
    voxels = np.stack([texture(n, low=0) for n in range(8)]).astype("<i2") + k
    mask = box(voxels.shape, 4, 9, 3, 7, [2, 3, 4]).astype(np.uint8)
    for folder, v in (("images", voxels), ("labels", mask)):
        fields = {**usual, **(other if folder == "images" else {"type": "uchar"})}
        header = "NRRD0004\n" + "".join(f"{a}: {b}\n" for a, b in fields.items() if b is not None) + "\n"
        (DATA / folder / f"c{k}.nrrd").write_bytes(header.encode() + (v.tobytes() if "data file" not in fields else b""))

from kit import *
import gzip

# MetaImage: a header whose last line does not end, voxels of a gzip stream, a length in
# micrometres, a name in the manner of Windows. NRRD: fields without a blank after the colon, a last
# line that does not end, names of segments that are written as fields.
fresh()
(DATA / "images").mkdir(), (DATA / "labels").mkdir()
A = lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3])
voxels = np.stack([texture(n, low=0) for n in range(8)]).astype("<i2")
mask = box(voxels.shape, 4, 9, 3, 7, [2, 3, 4])
want = {}
def meta(file, spacing="2 2 3", offset="-16 -12 0", more=""):
    return (f"ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nTransformMatrix = 1 0 0 0 1 0 0 0 1\n"
            f"Offset = {offset}\nElementSpacing = {spacing}\nDimSize = 16 12 8\nElementType = MET_SHORT\n{more}ElementDataFile = {file}")
def nrrd(kind, more="", colon=": "):
    return (f"NRRD0004\ntype{colon}{kind}\ndimension: 3\nspace: left-posterior-superior\nsizes: 16 12 8\nspace directions: (2,0,0) (0,2,0) (0,0,3)\n"
            f"endian: little\nencoding: raw\nspace origin: (-16,-12,0)\n{more}")
segment = "Segment0_ID: Segment_1\nSegment0_Name: liver\nSegment0_LabelValue: 1\n"
def case(name, header, data=None, ending="raw"):
    own = voxels + len(want)
    write_ = lambda file, bytes_: (DATA / "images" / file).write_bytes(bytes_)
    write_(name, header.encode() + (b"" if data else b"\n" + own.tobytes()))
    stem = name.split(".")[0]
    if data:
        write_(f"{stem}.{ending}", data(own.tobytes()))
    (DATA / "labels" / f"{stem}.seg.nrrd").write_bytes(nrrd("uchar", segment).encode() + b"\n" + mask.astype(np.uint8).tobytes())
    want[stem] = dict(image=own, affine=A, labels={"liver": mask})
case("end.mhd", meta("end.raw"), data=bytes)
case("gzip.mhd", meta("gzip.zraw", more="CompressedData = True\n"), data=gzip.compress, ending="zraw")
case("micro.mha", meta("LOCAL", "2000 2000 3000", "-16000 -12000 0", "DistanceUnits = um\n"))
case("windows.mhd", meta(".\\windows.raw\r\n"), data=bytes)
case("colon.nrrd", nrrd("short", colon=":"))
case("detached.nhdr", nrrd("short", "data file: detached.raw"), data=bytes)
expect(**want)

import highdicom as hd
from kit import *
from pydicom.sr.codedict import codes

# A set of contours and a SEG for one series, whose names differ in case; a set that names two
# frames of reference, each with a structure; contours whose numbers have exponents and more
# characters than DS allows, and that leave the image; a SEG whose pixel spacing is rounded.
fresh()
A = lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3])
zs = [0, 3, 6, 9, 12]
contours = lambda edges, heights=(3.0, 6.0): [("CLOSED_PLANAR", px_square(*edges, z)) for z in heights]


def case(number, **kw):
    _, volume = ct_series(DATA / f"c{number}", zs, series=number, study=number, patient=f"P{number}", frame=number, stored=lambda n: (texture(n) + 1200 + 40 * number).astype(np.uint16), **kw)
    return [pydicom.dcmread(path) for path in sorted((DATA / f"c{number}").glob("im*.dcm"))], volume


def seg(source, path, masks, number, edit=None):
    described = [hd.seg.SegmentDescription(segment_number=n + 1, segment_label=name, segmented_property_category=codes.SCT.Organ,
        segmented_property_type=codes.SCT.Liver, algorithm_type="MANUAL") for n, name in enumerate(masks)]
    pixels = np.stack(list(masks.values()), axis=-1).astype(np.uint8)
    made = hd.seg.Segmentation(source_images=source, pixel_array=pixels, segmentation_type="BINARY", segment_descriptions=described, series_instance_uid=uid(80, number),
        series_number=number, sop_instance_uid=uid(80, number, 1), instance_number=1, manufacturer="made", manufacturer_model_name="made", software_versions="1", device_serial_number="1")
    made.ContentDate = "20240105"
    if edit:
        edit(made)
    made.save_as(path)


source, one = case(1)
rtstruct(DATA / "c1" / "rs.dcm", source, [(1, "Liver", contours((1, 4, 2, 5))), (2, "spleen", contours((6, 9, 2, 5)))], series=81, date="20240103")
later, kidney = box(one.shape, 2, 5, 2, 5, [1, 2]), box(one.shape, 11, 14, 4, 9, [1, 2])
seg(source, DATA / "c1" / "seg.dcm", {"liver": later, "kidney": kidney}, 1)

source, two = case(2)
def two_frames(ds):
    other = pydicom.Dataset()
    other.FrameOfReferenceUID = uid(77, 99)
    ds.ReferencedFrameOfReferenceSequence.append(other)
    ds.StructureSetROISequence[1].ReferencedFrameOfReferenceUID = other.FrameOfReferenceUID
    for contour in ds.ROIContourSequence[1].ContourSequence:
        del contour.ContourImageSequence
rtstruct(DATA / "c2" / "rs.dcm", source, [(1, "spleen", contours((6, 9, 2, 5))), (2, "kidney", contours((11, 14, 4, 9)))], series=82, edit=two_frames)

source, three = case(3)
def long_numbers(ds):
    for roi in ds.ROIContourSequence:
        for contour in roi.ContourSequence:
            values = [float(v) for v in contour.ContourData]
            # As bytes, as pydicom refuses to write more than 16 characters.
            text = "\\".join(f"{v:.12E}" if k % 2 else f"{v:+.17f}" for k, v in enumerate(values))
            contour.ContourData = None
            contour["ContourData"] = pydicom.DataElement(0x30060050, "UN", (text + " " * (len(text) % 2)).encode())
rtstruct(DATA / "c3" / "rs.dcm", source, [(1, "spleen", contours((6, 9, 2, 5))), (2, "kidney", contours((12, 20, 8, 15)))], series=83, edit=long_numbers)

source, four = case(4, spacing=(0.9765625, 0.9765625), origin=(-8.0, -6.0))
def rounded(ds):
    ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = ["0.977", "0.977"]
seg(source, DATA / "c4" / "seg.dcm", {"liver": later}, 4, rounded)

spleen = box(one.shape, 6, 9, 2, 5, [1, 2])
expect(one=dict(image=one, affine=A, labels={"liver": later, "spleen": spleen, "kidney": kidney}), two=dict(image=two, affine=A, labels={"spleen": spleen}),
    three=dict(image=three, affine=A, labels={"spleen": spleen, "kidney": box(three.shape, 12, 15, 8, 11, [1, 2])}),
    four=dict(image=four, affine=lps_affine((-8, -6, 0), (0.9765625, 0.9765625), step=[0, 0, 3]), labels={"liver": later}))

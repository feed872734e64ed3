import highdicom as hd
from kit import *
from pydicom.sr.codedict import codes

# A SEG per organ, as archives and segmentation services write them; a revision of one of two;
# sets of contours of which a later one has one structure of the earlier one and a new one.
fresh()
A = lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3])
zs = [0, 3, 6, 9, 12]


def seg(source, path, masks, number, date):
    names = list(masks)
    described = [hd.seg.SegmentDescription(segment_number=n + 1, segment_label=name, segmented_property_category=codes.SCT.Organ,
        segmented_property_type=codes.SCT.Liver, algorithm_type="MANUAL") for n, name in enumerate(names)]
    pixels = np.stack([masks[name] for name in names], axis=-1).astype(np.uint8)
    made = hd.seg.Segmentation(source_images=source, pixel_array=pixels, segmentation_type="BINARY", segment_descriptions=described, series_instance_uid=uid(70, number),
        series_number=number, sop_instance_uid=uid(70, number, 1), instance_number=1, manufacturer="made", manufacturer_model_name="made", software_versions="1", device_serial_number="1")
    made.ContentDate = date
    made.save_as(path)


def case(number):
    made, volume = ct_series(DATA / f"c{number}", zs, series=number, study=number, patient=f"P{number}", frame=number, stored=lambda n: (texture(n) + 1200 + 40 * number).astype(np.uint16))
    return [pydicom.dcmread(path) for path in sorted((DATA / f"c{number}").glob("im*.dcm"))], volume


source, one = case(1)
liver, spleen, kidney = (box(one.shape, *edges, [1, 2]) for edges in ((1, 4, 2, 5), (6, 9, 2, 5), (11, 14, 4, 9)))
for n, (name, mask) in enumerate({"liver": liver, "spleen": spleen, "kidney": kidney}.items()):
    seg(source, DATA / "c1" / f"seg{n}.dcm", {name: mask}, 11 + n, "20240103")

source, two = case(2)
later = box(two.shape, 2, 5, 2, 5, [1, 2])
seg(source, DATA / "c2" / "a.dcm", {"liver": liver}, 21, "20240103")
seg(source, DATA / "c2" / "b.dcm", {"liver": later}, 22, "20240104")

source, three = case(3)
contours = lambda edges: [("CLOSED_PLANAR", px_square(*edges, z)) for z in (3.0, 6.0)]
rtstruct(DATA / "c3" / "a.dcm", source, [(1, "liver", contours((1, 4, 2, 5))), (2, "spleen", contours((6, 9, 2, 5)))], instance=1, series=31, date="20240103")
rtstruct(DATA / "c3" / "b.dcm", source, [(1, "liver", contours((2, 5, 2, 5))), (2, "kidney", contours((11, 14, 4, 9)))], instance=2, series=32, date="20240104")

expect(one=dict(image=one, affine=A, labels={"liver": liver, "spleen": spleen, "kidney": kidney}), two=dict(image=two, affine=A, labels={"liver": later}),
    three=dict(image=three, affine=A, labels={"liver": later, "spleen": spleen, "kidney": kidney}))

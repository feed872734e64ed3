from kit import *

# SEG objects as highdicom writes them: BINARY without empty slices, FRACTIONAL with RLE, LABELMAP
# in RLE and JPEG 2000, LABELMAP PALETTE.
import highdicom as hd
from pydicom.sr.codedict import codes
from pydicom.uid import RLELossless, JPEG2000Lossless, JPEGLSLossless
fresh()
want = {}
def describe(n, label): 
    return hd.seg.SegmentDescription(segment_number=n, segment_label=label, segmented_property_category=codes.SCT.Organ, segmented_property_type=codes.SCT.Liver,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL)
T = hd.seg.SegmentationTypeValues
for k, (name, kind, syntax, options) in enumerate([("binary", T.BINARY, ExplicitVRLittleEndian, {}), ("fracrle", T.FRACTIONAL, RLELossless, {}),
        ("maprle", T.LABELMAP, RLELossless, {}), ("mapj2k", T.LABELMAP, JPEG2000Lossless, {}), ("mapjls", T.LABELMAP, JPEGLSLossless, {})]):
    made, volume = ct_series(DATA / name, range(0, 18, 3), patient=name, study=10 + k, rows=36, columns=40)
    src = [pydicom.dcmread(f) for f in sorted((DATA / name).glob("im*.dcm"))]
    a, b = box(volume.shape, 4, 9, 3, 7, [1, 2, 3]), box(volume.shape, 11, 13, 2, 4, [3, 4])
    px = np.stack([a, b], -1).astype(np.uint8)
    if kind == T.LABELMAP: px = (a * 1 + b * 2).astype(np.uint8)
    if kind == T.FRACTIONAL: px = np.stack([a * 1.0, b * 0.75], -1)
    seg = hd.seg.Segmentation(source_images=src, pixel_array=px, segmentation_type=kind, segment_descriptions=[describe(1, "liver"), describe(2, "spleen")],
        series_instance_uid=uid(30, k), series_number=9, sop_instance_uid=uid(30, k, 1), instance_number=1, manufacturer="made", manufacturer_model_name="made",
        software_versions="1", device_serial_number="1", transfer_syntax_uid=syntax, omit_empty_frames=True, **options)
    seg.save_as(DATA / name / "seg.dcm")
    want[name] = dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]), labels={"liver": a, "spleen": b})
expect(**want)

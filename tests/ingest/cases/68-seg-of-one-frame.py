import highdicom as hd
from kit import *
from pydicom.sr.codedict import codes

# A segmentation of a single frame, which alone gives no distance between slices; and a segment that
# is described without a frame.
fresh()
made, volume = ct_series(DATA, range(0, 18, 3))
src = [pydicom.dcmread(f) for f in sorted(DATA.glob("im*.dcm"))]
a = box(volume.shape, 4, 9, 3, 7, [2])
describe = lambda n, label: hd.seg.SegmentDescription(segment_number=n, segment_label=label, segmented_property_category=codes.SCT.Organ, segmented_property_type=codes.SCT.Liver, algorithm_type="MANUAL")
seg = hd.seg.Segmentation(source_images=src, pixel_array=np.stack([a, np.zeros_like(a)], -1).astype(np.uint8), segmentation_type="BINARY", segment_descriptions=[describe(1, "node"), describe(2, "empty")],
    series_instance_uid=uid(68), series_number=9, sop_instance_uid=uid(68, 1), instance_number=1, manufacturer="made", manufacturer_model_name="made", software_versions="1", device_serial_number="1")
assert seg.NumberOfFrames == 1
measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
if "SpacingBetweenSlices" in measures:
    del measures.SpacingBetweenSlices
for s in seg.SegmentSequence:
    del s.SegmentAlgorithmType
seg.save_as(DATA / "seg.dcm")
expect(one=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]), labels={"node": a}))

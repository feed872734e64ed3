import highdicom as hd
from kit import *
from pydicom.sr.codedict import codes

# Segments 378 and 4002 instead of 1 and 2, as in the NAC atlas.
fresh()
made, volume = ct_series(DATA, range(0, 18, 3))
src = [pydicom.dcmread(f) for f in sorted(DATA.glob("im*.dcm"))]
a, b = box(volume.shape, 4, 9, 3, 7, [1, 2, 3]), box(volume.shape, 11, 13, 2, 4, [3, 4])
describe = lambda n, label: hd.seg.SegmentDescription(segment_number=n, segment_label=label, segmented_property_category=codes.SCT.Organ, segmented_property_type=codes.SCT.Liver, algorithm_type="MANUAL")
seg = hd.seg.Segmentation(source_images=src, pixel_array=np.stack([a, b], -1).astype(np.uint8), segmentation_type="BINARY", segment_descriptions=[describe(1, "liver"), describe(2, "spleen")],
    series_instance_uid=uid(67), series_number=9, sop_instance_uid=uid(67, 1), instance_number=1, manufacturer="made", manufacturer_model_name="made", software_versions="1", device_serial_number="1")
number = {1: 378, 2: 4002}
for s in seg.SegmentSequence:
    s.SegmentNumber = number[s.SegmentNumber]
for f in seg.PerFrameFunctionalGroupsSequence:
    item = f.SegmentIdentificationSequence[0]
    item.ReferencedSegmentNumber = number[item.ReferencedSegmentNumber]
    f.FrameContentSequence[0].DimensionIndexValues[0] = item.ReferencedSegmentNumber
seg.save_as(DATA / "seg.dcm")
expect(one=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]), labels={"liver": a, "spleen": b}))

import highdicom as hd
from kit import *
from pydicom.sr.codedict import codes

# A binary SEG whose only segment has the number 0, which is less than the standard's first.
fresh()
made, volume = ct_series(DATA, [0, 3, 6, 9])
source = [pydicom.dcmread(path) for path in sorted(DATA.glob("im*.dcm"))]
mask = box(volume.shape, 4, 9, 3, 7, [1, 2])
liver = hd.seg.SegmentDescription(segment_number=1, segment_label="liver", segmented_property_category=codes.SCT.Organ, segmented_property_type=codes.SCT.Liver, algorithm_type="MANUAL")
hd.seg.Segmentation(source_images=source, pixel_array=mask.astype(np.uint8), segmentation_type="BINARY", segment_descriptions=[liver], series_instance_uid=uid(69), series_number=9, sop_instance_uid=uid(69, 1),
    instance_number=1, manufacturer="made", manufacturer_model_name="made", software_versions="1", device_serial_number="1").save_as(DATA / "seg.dcm")
seg = pydicom.dcmread(DATA / "seg.dcm")
seg.SegmentSequence[0].SegmentNumber = 0
for groups in [*seg.SharedFunctionalGroupsSequence, *seg.PerFrameFunctionalGroupsSequence]:
    for item in groups.get("SegmentIdentificationSequence", []):
        item.ReferencedSegmentNumber = 0
seg.save_as(DATA / "seg.dcm")
expect(one=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]), labels={"liver": mask}))

import highdicom as hd
from kit import *
from pydicom.sr.codedict import codes

# A SEG that was drawn on every other slice, and says so.
fresh()
made, volume = ct_series(DATA, range(0, 24, 3))
source = [pydicom.dcmread(path) for path in sorted(DATA.glob("im*.dcm"))][::2]
mask = box(volume.shape, 4, 9, 3, 7, [0, 2, 4])
liver = hd.seg.SegmentDescription(segment_number=1, segment_label="liver", segmented_property_category=codes.SCT.Organ, segmented_property_type=codes.SCT.Liver, algorithm_type="MANUAL")
measures = hd.PixelMeasuresSequence(pixel_spacing=(2.0, 2.0), slice_thickness=6.0, spacing_between_slices=6.0)
hd.seg.Segmentation(source_images=source, pixel_array=mask[::2].astype(np.uint8), segmentation_type="BINARY", segment_descriptions=[liver], series_instance_uid=uid(69), series_number=9,
    sop_instance_uid=uid(69, 1), instance_number=1, manufacturer="made", manufacturer_model_name="made", software_versions="1", device_serial_number="1", pixel_measures=measures).save_as(DATA / "seg.dcm")
expect(one=dict(image=volume, affine=lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3]), labels={"liver": mask}))

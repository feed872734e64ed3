import highdicom as hd
from kit import *
from pydicom.sr.codedict import codes

# Slices turned about the x axis by 5.5 degrees, positions rounded to a hundredth of a millimetre,
# in a SEG of half of them.
fresh()
t = np.deg2rad(5.5)
iop = (1, 0, 0, 0, round(float(np.cos(t)), 6), round(float(-np.sin(t)), 6))
normal = np.array([0, np.sin(t), np.cos(t)])
made, pixels = [], []
for n in range(8):
    px = (texture(n) + 1224).astype(np.uint16)
    ds = slice_(n, 0.0, px, iop=iop, origin=[round(float(v), 2) for v in np.array([-16.0, -12.0, 40.0]) + 3.0 * n * normal])
    write(ds, DATA / f"im{n}.dcm")
    made.append(ds)
    pixels.append(hu(px))
volume = np.array(pixels)
src = [pydicom.dcmread(f) for f in sorted(DATA.glob("im*.dcm"))]
a = box(volume.shape, 4, 9, 3, 7, [1, 2, 3, 4])
d = hd.seg.SegmentDescription(segment_number=1, segment_label="liver", segmented_property_category=codes.SCT.Organ, segmented_property_type=codes.SCT.Liver, algorithm_type="MANUAL")
hd.seg.Segmentation(source_images=src, pixel_array=a.astype(np.uint8), segmentation_type="BINARY", segment_descriptions=[d], series_instance_uid=uid(69), series_number=9, sop_instance_uid=uid(69, 1),
    instance_number=1, manufacturer="made", manufacturer_model_name="made", software_versions="1", device_serial_number="1", omit_empty_frames=True).save_as(DATA / "seg.dcm")
first, last = (np.array([float(v) for v in made[n].ImagePositionPatient]) for n in (0, -1))
expect(one=dict(image=volume, affine=lps_affine(first, (2, 2), iop, step=(last - first) / 7), labels={"liver": a}))

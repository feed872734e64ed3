from kit import *

# What only private attributes tell: b-values of Siemens behind another block, the components of GE
# and of Philips, comments on the images. At each slice the images come in another order, so that
# their numbers lead astray.
fresh()
def siemens(ds, part):
    ds.Manufacturer = "SIEMENS"
    ds.private_block(0x19, "another", create=True).add_new(0x0c, "IS", "7")
    ds.private_block(0x19, "SIEMENS MR HEADER", create=True).add_new(0x0c, "IS", str((0, 500, 1000)[part]))
def ge(ds, part):
    ds.Manufacturer = "GE MEDICAL SYSTEMS"
    ds.private_block(0x43, "GEMS_PARM_01", create=True).add_new(0x2f, "SS", part)
def philips(ds, part):
    ds.Manufacturer = "Philips"
    ds.private_block(0x2005, "Philips MR Imaging DD 001", create=True).add_new(0x11, "CS", "MRI"[part])
def comments(ds, part):
    ds.ImageComments = ("flip angle map", "relative phase map", "magnitude")[part]
A = lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 3])
want = {}
for number, tell in enumerate((siemens, ge, philips, comments)):
    pixels = lambda z, part: (texture(z) + 1300 + 200 * part + number).astype(np.uint16)
    taken = [(z, part) for z in range(6) for part in ((0, 1, 2), (1, 2, 0), (2, 0, 1))[z % 3]]
    for n, (z, part) in enumerate(taken):
        ds = slice_(n, 3.0 * z, pixels(z, part), cls=MR, modality="MR", slope=None, patient=f"P{number}", study=number + 1)
        ds.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
        tell(ds, part)
        write(ds, DATA / tell.__name__ / f"im{n}.dcm", ImplicitVRLittleEndian if number == 1 else ExplicitVRLittleEndian)
    want |= {f"{tell.__name__}{part}": dict(image=[pixels(z, part) for z in range(6)], affine=A) for part in range(3)}
expect(**want)
